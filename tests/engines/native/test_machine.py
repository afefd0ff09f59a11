"""Machine code is made, linked and freed; what LLVM refuses is an error, not the end of Python."""

import ctypes
from concurrent.futures import ThreadPoolExecutor

import pytest

from difflab.engines.native import machine
from difflab.engines.native.machine import Library, assembly, object_code, python_symbols, why_not
from difflab.errors import InvariantError

from .kernels import native, resident

ONE_MORE = """
define double @one_more(double %x) {
  %y = fadd double %x, 1.0
  ret double %y
}
"""
INLINED = """
declare double @llvm.fma.f64(double, double, double)
define internal double @square(double %x) alwaysinline {
  %y = call double @llvm.fma.f64(double %x, double %x, double %x)
  ret double %y
}
define double @twice(double %x) {
  %y = call double @square(double %x)
  %z = call double @square(double %y)
  ret double %z
}
"""


def test_it_can_be_switched_off(monkeypatch):
    monkeypatch.setenv("DIFFLAB_NATIVE", "0")
    assert why_not() == "switched off by DIFFLAB_NATIVE=0"
    monkeypatch.setenv("DIFFLAB_NATIVE", "1")
    assert why_not() != "switched off by DIFFLAB_NATIVE=0"


@pytest.mark.parametrize(
    ("where", "value", "why"),
    [
        ("platform.machine", lambda: "riscv64", "no native code is made for riscv64"),
        ("sys.maxsize", 2**31 - 1, "this Python is not a 64-bit one"),
    ],
)
def test_it_says_why_not(monkeypatch, where, value, why):
    module, _, name = where.partition(".")
    monkeypatch.setattr(getattr(machine, module), name, value)
    assert machine._why_not.__wrapped__() == why


@native
def test_a_cpu_without_fma_is_refused(monkeypatch):
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(machine._llvm(), "get_host_cpu_features", lambda: {"avx": True})
    assert machine._why_not.__wrapped__() == "this CPU has no FMA"


def test_without_llvmlite_it_names_the_extra(monkeypatch):
    monkeypatch.setattr(machine.platform, "machine", lambda: "x86_64")
    monkeypatch.setitem(machine.sys.modules, "llvmlite", None)
    monkeypatch.setattr(machine, "_llvm", machine._llvm.__wrapped__)
    why = "llvmlite is not installed: pip install 'difflab[native]'"
    assert machine._why_not.__wrapped__() == why


@native
@pytest.mark.parametrize(
    "text",
    [
        "define nonsense",
        "define i32 @f() { ret i64 0 }",
        "define i32 @f() {\n  %x = add i32 %y, 1\n  %y = add i32 1, 1\n  ret i32 %x\n}",
    ],
    ids=("syntax", "types", "order"),
)
def test_what_is_wrong_is_an_error_that_shows_where(text):
    with pytest.raises(InvariantError, match="LLVM refused an IR text:\n"):
        Library(text, {})


@native
def test_a_missing_symbol_is_an_error():
    text = "declare void @nowhere()\ndefine void @f() {\n  call void @nowhere()\n  ret void\n}"
    with pytest.raises(InvariantError, match="LLVM refused to link:\n"):
        Library(text, {})


@native
def test_code_runs():
    library = Library(ONE_MORE + INLINED, {})
    number = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)
    assert number(library.address("one_more"))(2.0) == 3.0
    assert number(library.address("twice"))(2.0) == 42.0


@native
def test_symbols_are_found_in_what_was_given_and_in_the_process():
    text = """
    declare void @Py_IncRef(ptr)
    declare ptr @memcpy(ptr, ptr, i64)
    define void @f(ptr %object, ptr %to) {
      call void @Py_IncRef(ptr %object)
      call ptr @memcpy(ptr %to, ptr @number, i64 8)
      ret void
    }
    @number = internal constant i64 7
    """
    library = Library(text, python_symbols("Py_IncRef"))
    run = ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(library.address("f"))
    found, something = ctypes.c_int64(), object()
    count = machine.sys.getrefcount(something)
    run(id(something), ctypes.addressof(found))
    assert machine.sys.getrefcount(something) == count + 1
    assert found.value == 7


@native
@pytest.mark.skipif(machine.platform.machine() not in ("x86_64", "AMD64"), reason="names of CPUs")
def test_code_is_made_for_other_cpus():
    for cpu in ("x86-64-v3", "skylake-avx512"):
        text = assembly(INLINED, cpu)
        assert text.count("vfmadd") == 2 and "call" not in text
        assert object_code(INLINED, cpu)
    assert "call" in assembly(INLINED, "x86-64") or "jmp" in assembly(INLINED, "x86-64")


@native
def test_code_is_freed():
    for many in (100, 2000):  # the first fill the caches
        before = resident()
        for i in range(many):
            numbers = ", ".join(f"double {i * 100 + k}.0" for k in range(100))
            Library(f"@c = constant [100 x double] [{numbers}]\n{ONE_MORE}", {})
        grown = resident() - before
    assert grown < 2_000_000


@native
def test_threads_may_compile_at_once():
    def made(i):
        library = Library(ONE_MORE.replace("1.0", f"{i}.0"), {})
        number = ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_double)(library.address("one_more"))
        return number(0.5) == i + 0.5

    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(made, range(200)))
