"""Vectors in LLVM's text: formulas are written as Python, and leave instructions behind.

What flows: `Vector`s go through operators and the methods of a `Code`, and each leaves one line of
text there. The invariants: a vector has the logical width of its code, whatever registers the CPU
has, and every rounding is written out, so that all CPUs with FMA compute the same bits. A sum of
one product and something else is one fused operation where the code `contracts`; two products are
never fused, so that a difference of equal products is 0.

>>> code = Code(4)
>>> x = code.argument("f64", "x")
>>> (x * x + 1.0).kind
'f64'
>>> print(code.text)
  %v0 = fmul <4 x double> %x, %x
  %v1 = fadd <4 x double> %v0, splat (double 0x3ff0000000000000)
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from difflab.engines.native.kinds import BITS, TYPES, Number, kind_of, literal
from difflab.errors import InvariantError

_FLOAT_OPERATIONS: Final = {"+": "fadd", "-": "fsub", "*": "fmul", "/": "fdiv"}
_INTEGER_OPERATIONS: Final = {
    "+": "add", "-": "sub", "*": "mul", "&": "and", "|": "or", "^": "xor", "<<": "shl",
    ">>": "lshr",
}  # fmt: skip
_ORDERED: Final = {"<": "olt", "<=": "ole", ">": "ogt", ">=": "oge", "==": "oeq", "!=": "une"}
_TRUTHS: Final = {"<": "ult", "<=": "ule", ">": "ugt", ">=": "uge", "==": "eq", "!=": "ne"}
_SIGNED: Final = {"<": "slt", "<=": "sle", ">": "sgt", ">=": "sge", "==": "eq", "!=": "ne"}
LIKELY: Final = '!0 = !{!"branch_weights", i32 1000, i32 1}'
"""What `Code.unless` says of its branches: a line that each module needs."""


@dataclass(frozen=True, slots=True, eq=False)
class Vector:
    """A value in a register: elements of one kind, as many as its code is wide."""

    code: Code
    name: str
    kind: str
    factors: tuple[Vector, Vector] | None = None
    """What it is the product of."""

    @property
    def type(self) -> str:
        """Its LLVM type."""
        return self.code.type(self.kind)

    @property
    def is_float(self) -> bool:
        """Whether its elements are floats."""
        return self.kind in BITS

    def __str__(self) -> str:
        return f"{self.type} {self.name}"

    # -- arithmetic --------------------------------------------------------------------------------

    def _of(self, sign: str, other: Vector | Number, swapped: bool = False) -> Vector:
        other = self.code.like(self, other)
        a, b = (other, self) if swapped else (self, other)
        name = _FLOAT_OPERATIONS[sign] if self.is_float else _INTEGER_OPERATIONS[sign]
        if self.kind == "i1" and sign == "+":
            name = "or"  # as NumPy adds truth values
        found = self.code.emit(f"{name} {a}, {b.name}", self.kind)
        return found if sign != "*" or not self.is_float else _product(found, a, b)

    def __add__(self, other: Vector | Number) -> Vector:
        other = self.code.like(self, other)
        for product, rest in ((self, other), (other, self)):
            if self.code.contracts and product.factors and not rest.factors:
                return self.code.fma(*product.factors, rest)
        return self._of("+", other)

    def __sub__(self, other: Vector | Number) -> Vector:
        other = self.code.like(self, other)
        if self.code.contracts and bool(self.factors) != bool(other.factors):
            if self.factors:
                return self.code.fma(*self.factors, -other)
            assert other.factors is not None
            return self.code.fma(-other.factors[0], other.factors[1], self)
        return self._of("-", other)

    def __rsub__(self, other: Number) -> Vector:
        return self.code.like(self, other) - self

    def __mul__(self, other: Vector | Number) -> Vector:
        return self._of("*", other)

    def __truediv__(self, other: Vector | Number) -> Vector:
        return self._of("/", other)

    def __rtruediv__(self, other: Number) -> Vector:
        return self._of("/", other, swapped=True)

    def __radd__(self, other: Number) -> Vector:
        return self + other

    def __rmul__(self, other: Number) -> Vector:
        return self * other

    def __neg__(self) -> Vector:
        if self.is_float:
            return self.code.emit(f"fneg {self}", self.kind)
        return self.code.like(self, 0) - self

    def __abs__(self) -> Vector:
        if self.is_float:
            return self.code.intrinsic("fabs", self)
        return (self < 0).choose(-self, self)

    # -- bits --------------------------------------------------------------------------------------

    def __and__(self, other: Vector | Number) -> Vector:
        return self._of("&", other)

    def __or__(self, other: Vector | Number) -> Vector:
        return self._of("|", other)

    def __xor__(self, other: Vector | Number) -> Vector:
        return self._of("^", other)

    def __lshift__(self, other: Vector | Number) -> Vector:
        return self._of("<<", other)

    def __rshift__(self, other: Vector | Number) -> Vector:
        """Shifted right, zeros entering: AVX2 has no arithmetic shift of 64 bits."""
        return self._of(">>", other)

    def __invert__(self) -> Vector:
        return self ^ (True if self.kind == "i1" else -1)

    def bits(self) -> Vector:
        """The bits of floats, as integers."""
        kind = BITS[self.kind]
        return self.code.emit(f"bitcast {self} to {self.code.type(kind)}", kind)

    def floats(self) -> Vector:
        """The floats that have these bits."""
        kind = next(name for name, bits in BITS.items() if bits == self.kind)
        return self.code.emit(f"bitcast {self} to {self.code.type(kind)}", kind)

    # -- comparisons and choices -------------------------------------------------------------------

    def compared(self, sign: str, other: Vector | Number) -> Vector:
        """A comparison by its sign in Python."""
        other = self.code.like(self, other)
        if self.is_float:
            return self.code.emit(f"fcmp {_ORDERED[sign]} {self}, {other.name}", "i1")
        names = _TRUTHS if self.kind == "i1" else _SIGNED
        return self.code.emit(f"icmp {names[sign]} {self}, {other.name}", "i1")

    def __lt__(self, other: Vector | Number) -> Vector:
        return self.compared("<", other)

    def __le__(self, other: Vector | Number) -> Vector:
        return self.compared("<=", other)

    def __gt__(self, other: Vector | Number) -> Vector:
        return self.compared(">", other)

    def __ge__(self, other: Vector | Number) -> Vector:
        return self.compared(">=", other)

    def equals(self, other: Vector | Number) -> Vector:
        """Where they are equal; never where one is NaN."""
        return self.compared("==", other)

    def differs(self, other: Vector | Number) -> Vector:
        """Where they are not equal; also where one is NaN."""
        return self.compared("!=", other)

    def is_nan(self) -> Vector:
        """Where it is not a number."""
        return self.differs(self)

    def choose(self, yes: Vector | Number, no: Vector | Number) -> Vector:
        """Of truth values: ``yes`` where true, else ``no``."""
        like = yes if isinstance(yes, Vector) else no
        if not isinstance(like, Vector):
            raise InvariantError("a choice of two plain numbers has no kind")
        yes, no = self.code.like(like, yes), self.code.like(like, no)
        return self.code.emit(f"select {self}, {yes}, {no}", like.kind)

    def part(self, code: Code, first: int) -> Vector:
        """The elements from that one on, as many as another code is wide."""
        picked = [f"i32 {first + k}" for k in range(code.width)]
        if code.width == 1:
            return code.emit(f"extractelement {self}, i64 {first}", self.kind)
        mask = f"<{code.width} x i32> <{', '.join(picked)}>"
        return code.emit(f"shufflevector {self}, {self.type} poison, {mask}", self.kind)

    # -- kinds -------------------------------------------------------------------------------------

    def converted(self, kind: str) -> Vector:
        """In another kind, as NumPy converts: floats to integers are cut, to truth is nonzero."""
        if kind == self.kind:
            return self
        if kind == "i1":
            return self.differs(0)
        target = self.code.type(kind)
        if self.kind == "i1":
            name = "uitofp" if kind in BITS else "zext"
        elif self.is_float:
            name = {"f64": "fpext", "f32": "fptrunc"}.get(kind, "fptosi")
        else:
            name = "sitofp" if kind in BITS else "sext" if kind == "i64" else "trunc"
        # Conversions of what no integer holds are left to the CPU, as in NumPy, but not to LLVM.
        frozen = self.code.emit(f"freeze {self}", self.kind) if name == "fptosi" else self
        return self.code.emit(f"{name} {frozen} to {target}", kind)


def _product(found: Vector, a: Vector, b: Vector) -> Vector:
    return Vector(found.code, found.name, found.kind, (a, b))


@dataclass(slots=True, eq=False)
class Page:
    """The text of a function in the making."""

    lines: list[str] = field(default_factory=list)
    block: str = "entry"
    """The label of the block that is being written."""
    calls: set[tuple[str, str, int]] = field(default_factory=set)
    """Vector functions that are called: name, kind, width."""
    declared: set[str] = field(default_factory=set)
    """LLVM's intrinsics that are called, as they are declared."""
    names: Iterator[int] = field(default_factory=itertools.count)

    @property
    def text(self) -> str:
        """The lines so far."""
        return "\n".join(self.lines)


@dataclass(slots=True, eq=False)
class Code:
    """Writes vectors of one width on a page."""

    width: int
    """Elements of a vector; 1 makes plain scalars."""
    contracts: bool = False
    """Whether a product and a sum become one operation."""
    page: Page = field(default_factory=Page)

    @property
    def text(self) -> str:
        """The lines so far."""
        return self.page.text

    def of_width(self, width: int) -> Code:
        """A writer of other vectors on the same page."""
        return Code(width, self.contracts, self.page)

    def type(self, kind: str) -> str:
        """The LLVM type of a vector of that kind."""
        return TYPES[kind] if self.width == 1 else f"<{self.width} x {TYPES[kind]}>"

    def fresh(self, prefix: str = "v") -> str:
        """A name that is not taken."""
        return f"{prefix}{next(self.page.names)}"

    def raw(self, instruction: str) -> str:
        """A named line; the name of its result."""
        name = f"%{self.fresh()}"
        self.page.lines.append(f"  {name} = {instruction}")
        return name

    def emit(self, instruction: str, kind: str) -> Vector:
        """A line whose result is a vector."""
        return Vector(self, self.raw(instruction), kind)

    def do(self, instruction: str) -> None:
        """A line without a result."""
        self.page.lines.append(f"  {instruction}")

    def label(self, name: str) -> None:
        """Begin a block."""
        self.page.lines.append(f"{name}:")
        self.page.block = name

    def argument(self, kind: str, name: str) -> Vector:
        """A vector that comes in by that name."""
        return Vector(self, f"%{name}", kind)

    def constant(self, value: Number, kind: str) -> Vector:
        """A number in every element."""
        text = literal(value, kind)
        return Vector(self, text if self.width == 1 else f"splat ({TYPES[kind]} {text})", kind)

    def splat(self, scalar: str, kind: str) -> Vector:
        """A scalar of that name in every element."""
        if self.width == 1:
            return Vector(self, scalar, kind)
        type_ = self.type(kind)
        one = self.raw(f"insertelement {type_} poison, {TYPES[kind]} {scalar}, i64 0")
        zeros = f"<{self.width} x i32> zeroinitializer"
        return self.emit(f"shufflevector {type_} {one}, {type_} poison, {zeros}", kind)

    def like(self, model: Vector, value: Vector | Number) -> Vector:
        """A vector; a number becomes one of the model's kind."""
        return value if isinstance(value, Vector) else self.constant(value, model.kind)

    # -- what LLVM brings --------------------------------------------------------------------------

    def intrinsic(self, name: str, *x: Vector, out: str | None = None) -> Vector:
        """One of LLVM's elementwise intrinsics, such as ``fabs`` or ``floor``."""
        first = x[0]
        mangled = first.kind if self.width == 1 else f"v{self.width}{first.kind}"
        result, types = self.type(out or first.kind), ", ".join(v.type for v in x)
        self.page.declared.add(f"declare {result} @llvm.{name}.{mangled}({types})")
        given = ", ".join(map(str, x))
        return self.emit(f"call {result} @llvm.{name}.{mangled}({given})", out or first.kind)

    def fma(self, a: Vector, b: Vector | Number, c: Vector | Number) -> Vector:
        """a b + c, rounded once."""
        return self.intrinsic("fma", a, self.like(a, b), self.like(a, c))

    def sqrt(self, x: Vector) -> Vector:
        """The square root, correctly rounded."""
        return self.intrinsic("sqrt", x)

    def copysign(self, a: Vector, b: Vector | Number) -> Vector:
        """a with the sign of b."""
        return self.intrinsic("copysign", a, self.like(a, b))

    def floor(self, x: Vector) -> Vector:
        """The largest integer below."""
        return self.intrinsic("floor", x)

    def ceil(self, x: Vector) -> Vector:
        """The smallest integer above."""
        return self.intrinsic("ceil", x)

    def trunc(self, x: Vector) -> Vector:
        """The integer next to it toward zero."""
        return self.intrinsic("trunc", x)

    def rint(self, x: Vector) -> Vector:
        """The nearest integer, a tie to the even one."""
        return self.intrinsic("rint", x)

    def maximum(self, a: Vector, b: Vector | Number) -> Vector:
        """The larger, the second of equal ones; NaN where either is, as NumPy's."""
        b = self.like(a, b)
        larger = (a > b).choose(a, b)
        return a.is_nan().choose(a, larger) if a.is_float else larger

    def minimum(self, a: Vector, b: Vector | Number) -> Vector:
        """The smaller, the second of equal ones; NaN where either is, as NumPy's."""
        b = self.like(a, b)
        smaller = (a < b).choose(a, b)
        return a.is_nan().choose(a, smaller) if a.is_float else smaller

    def relu(self, x: Vector) -> Vector:
        """The positive part."""
        return self.maximum(x, 0.0)

    def all(self, mask: Vector) -> str:
        """Whether all elements are true: the name of an i1."""
        if self.width == 1:
            return mask.name
        self.page.declared.add(f"declare i1 @llvm.vector.reduce.and.v{self.width}i1({mask.type})")
        return self.raw(f"call i1 @llvm.vector.reduce.and.v{self.width}i1({mask})")

    def reciprocal(self, x: Vector) -> Vector:
        """1/x, correctly rounded."""
        return 1.0 / x

    def isfinite(self, x: Vector) -> Vector:
        """Where it is a number and not infinite."""
        return abs(x) < math.inf

    def isinf(self, x: Vector) -> Vector:
        """Where it is infinite."""
        return abs(x).equals(math.inf)

    def isnan(self, x: Vector) -> Vector:
        """Where it is not a number."""
        return x.is_nan()

    def compare(self, sign: str, a: Vector, b: Vector | Number) -> Vector:
        """A comparison by its sign in Python."""
        return a.compared(sign, b)

    def convert(self, x: Vector, dtype: Any) -> Vector:
        """In another of the four dtypes."""
        return x.converted(kind_of(np.dtype(dtype)))

    # -- what is built of lines --------------------------------------------------------------------

    def call(self, name: str, *x: Vector) -> Vector:
        """A function of engines/native/mathematics.py, out of line; its result is of x's kind."""
        kind = x[0].kind
        self.page.calls.add((name, kind, self.width))
        given = ", ".join(map(str, x))
        return self.emit(f"call {self.type(kind)} @{name}.{kind}.{self.width}({given})", kind)

    def unless(
        self, usual: Vector, fast: Callable[[], Vector], slow: Callable[[], Vector]
    ) -> Vector:
        """``fast()`` where all elements are usual, else ``slow()`` for all of them: one branch."""
        every = self.all(usual)
        labels = [self.fresh("usual"), self.fresh("rare"), self.fresh("met")]
        self.do(f"br i1 {every}, label %{labels[0]}, label %{labels[1]}, !prof !0")
        found = []
        for label, rule in zip(labels, (fast, slow), strict=False):
            self.label(label)
            found.append((rule(), self.page.block))
            self.do(f"br label %{labels[2]}")
        self.label(labels[2])
        (a, from_a), (b, from_b) = found
        return self.emit(f"phi {a.type} [{a.name}, %{from_a}], [{b.name}, %{from_b}]", a.kind)
