"""LLVM through llvmlite: text of IR becomes machine code in this process.

What flows: IR text, then a verified module, object code, and linked code with addresses. The
invariants: llvmlite is imported on first use; every address of the process enters as a named
symbol, so object code stays relocatable; each text is compiled in a context of its own, and code is
freed with the `Library` that holds it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import sys
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import cache
from typing import Any

from difflab.errors import InvariantError, extra

_REQUIRED = {"x86_64": ("avx", "fma"), "AMD64": ("avx", "fma"), "arm64": (), "aarch64": ()}
"""The features that a CPU must have, by its architecture: without FMA `llvm.fma` is a slow call."""


def why_not() -> str | None:
    """Why native code cannot run here, or None where it can."""
    if os.environ.get("DIFFLAB_NATIVE") == "0":
        return "switched off by DIFFLAB_NATIVE=0"
    return _why_not()


@cache
def _why_not() -> str | None:
    if sys.implementation.name != "cpython":
        return f"{sys.implementation.name} has not CPython's layout of objects"
    if sys.maxsize < 2**32:
        return "this Python is not a 64-bit one"
    if platform.machine() not in _REQUIRED:
        return f"no native code is made for {platform.machine()}"
    try:
        features = _llvm().get_host_cpu_features()
    except ImportError:
        return "llvmlite is not installed: pip install 'difflab[native]'"
    lacking = [name for name in _REQUIRED[platform.machine()] if not features.get(name)]
    return f"this CPU has no {' and no '.join(map(str.upper, lacking))}" if lacking else None


@cache
def _llvm() -> Any:
    with extra("native"):
        from llvmlite import binding
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return binding


@cache
def machine(cpu: str | None = None, features: str | None = None) -> Any:
    """The target machine: this one, or another CPU of its architecture."""
    llvm = _llvm()
    if cpu is None:
        cpu = llvm.get_host_cpu_name()
        features = llvm.get_host_cpu_features().flatten() if features is None else features
    # The JIT's own default is the large code model, which loads each constant by its full address.
    return llvm.Target.from_default_triple().create_target_machine(
        cpu=cpu, features=features or "", opt=2, reloc="pic", codemodel="small"
    )


@contextmanager
def _module(text: str, target: Any) -> Iterator[Any]:
    """The module of an IR text, verified and ready for the code generator."""
    try:
        with _llvm().create_context() as context, _llvm().parse_assembly(text, context) as module:
            module.verify()
            module.triple, module.data_layout = target.triple, str(target.target_data)
            if "alwaysinline" in text:
                _inline(module, target)
            yield module
    except RuntimeError as error:
        raise _refused("an IR text", error) from None


def _inline(module: Any, target: Any) -> None:
    """The passes that are worth their time, for what was written as functions to be inlined.

    Others gain nothing: emitted IR is in SSA form and without dead code. (And llvmlite loses 1.4 KB
    of memory with each pass builder, which cannot be used twice.)
    """
    llvm = _llvm()
    passes = llvm.create_new_module_pass_manager()
    passes.add_always_inliner_pass()
    passes.add_sroa_pass()
    passes.add_simplify_cfg_pass()
    passes.run(module, llvm.create_pass_builder(target, llvm.PipelineTuningOptions()))


def _refused(what: str, error: RuntimeError) -> InvariantError:
    said = [line for line in str(error).splitlines() if line.strip()]
    return InvariantError("\n  ".join([f"LLVM refused {what}:", *said[:8]]))


def assembly(text: str, cpu: str | None = None, features: str | None = None) -> str:
    """The assembly of an IR text."""
    target = machine(cpu, features)
    with _module(text, target) as module:
        return str(target.emit_assembly(module))


def object_code(text: str, cpu: str | None = None, features: str | None = None) -> bytes:
    """The object code of an IR text."""
    target = machine(cpu, features)
    with _module(text, target) as module:
        return bytes(target.emit_object(module))


class Library:
    """The linked code of an IR text, which lives as long as this object.

    Parameters
    ----------
    text : the IR
    symbols : the addresses of what the text declares and does not define; what the process itself
        exports, such as memcpy, is found without
    """

    def __init__(self, text: str, symbols: Mapping[str, int]) -> None:
        llvm, target = _llvm(), machine()
        builder = llvm.JITLibraryBuilder().add_current_process()
        with _module(text, target) as module:
            for function in module.functions:
                if not function.is_declaration and function.linkage == llvm.Linkage.external:
                    builder.export_symbol(function.name)
            builder.add_object_img(target.emit_object(module))
        for name, address in symbols.items():
            builder.import_symbol(name, address)
        # An engine of its own: a shared one keeps 10 KB of each library that it has freed. And
        # JITLink, which keeps a library's sections together: the small code model needs them near.
        engine = llvm.create_lljit_compiler(target, use_jit_link=True)
        try:
            self._code = builder.link(engine, "library")
        except RuntimeError as error:
            raise _refused("to link", error) from None
        weakref.finalize(self, _free, self._code, engine).atexit = False

    def address(self, name: str) -> int:
        """The address of a function of the library."""
        return int(self._code[name])


def _free(code: Any, engine: Any) -> None:
    code.close()
    engine.close()


_shared: dict[str, Library] = {}


def shared(text: str, symbols: Mapping[str, int]) -> Library:
    """The one library of a text that all programs use: it is never freed."""
    found = _shared.get(text)
    return found or _shared.setdefault(text, Library(text, symbols))  # the first of two threads'


def python_symbols(*names: str) -> dict[str, int]:
    """The addresses of functions and objects of Python's C API."""
    return {name: ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, name)) for name in names}
