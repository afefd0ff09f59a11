"""Fused machine code through LLVM: a graph becomes a few loops that keep values in registers.

What flows: a graph is lowered to steps (lowering.py), those to loops (nests.py, loops.py) in LLVM's
text (vectors.py, mathematics.py), and that is compiled (machine.py, program.py) behind an entry
that Python calls (entry.py); long loops, and large matrix products (products.py), are shared by
threads (pool.py). What has no native form, such as a factorisation, is left to the NumPy engine,
between two parts that have (parts.py).
"""

from difflab.engines.native.machine import why_not
from difflab.engines.native.parts import Program, compiled, is_whole

__all__ = ["Program", "compiled", "is_whole", "why_not"]
