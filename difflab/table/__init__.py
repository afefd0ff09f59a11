"""THE TABLE: each operation once, a room a kind.

A row says everything that difflab knows about one operation: function, shape, derivative, balls,
symbols, rounding, choices, samples. Rules are plain NumPy text, chosen for their digits. What
equals what is in identities.py.

>>> from difflab.ir.row import TABLE
>>> TABLE["tanh"], TABLE["solve"].kind
(<primitive tanh>, 'factorisation')
"""

from difflab.ir.row import enter
from difflab.table import (
    algebra,
    arithmetic,
    bessel,
    choices,
    elementary,
    entropies,
    fourier,
    movement,
    reductions,
    special,
    special_functions,
    spectral,
)

for _room in (
    arithmetic, elementary, special, special_functions, entropies, choices, movement, reductions,
    algebra, spectral, bessel, fourier,
):  # fmt: skip
    enter(*_room.ROWS)
