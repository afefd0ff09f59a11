"""Laws are worth what they catch: wrong rules are planted, and the law that should notice does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pytest

from difflab.ir.expr import Expr
from difflab.ir.rounding import exact, nearest
from difflab.ir.row import (
    TABLE,
    Pair,
    Partials,
    Primitive,
    Transpose,
    Transposes,
    Unsupported,
    unchanged_params,
)
from difflab.table.algebra import swap
from difflab.table.elementary import exactly
from difflab.table.movement import place
from difflab.table.reductions import keep

from . import cells, laws


class Plant(NamedTuple):
    """A row with wrong cells, and the laws that must and must not object."""

    what: str
    row: str
    wrong: dict[str, Any]
    caught_by: tuple[Callable[[Primitive], None], ...]
    missed_by: tuple[Callable[[Primitive], None], ...] = ()


def partials(rule: Any) -> dict[str, Any]:
    return {"derivative": Partials(rule)}


def transpose(rule: Any) -> dict[str, Any]:
    return {"derivative": Transpose(rule)}


WRONG_COSINE = replace(TABLE["cos"], derivative=Partials(lambda y, x: np.sin(x)))
"""Of use inside another rule, whose first derivative it leaves right."""


def _consistent_softmax(y: Any, t: Any, x: Any, axis: int) -> Any:
    return y * t[0]


DERIVATIVES = (laws.derivative, laws.proof)
PLANTS = (
    # derivatives that are wrong as mathematics
    Plant("wrong sign", "sin", partials(lambda y, x: -np.cos(x)), DERIVATIVES),
    Plant("wrong factor", "square", partials(lambda y, x: 3.0 * x), DERIVATIVES),
    Plant("factor of 1 + 1e-12", "exp", partials(lambda y, x: y * (1.0 + 1e-12)), DERIVATIVES),
    Plant("missing term", "divide", partials(lambda y, a, b: (1.0 / b, 0.0)), DERIVATIVES),
    Plant("missing term of a product", "tan", partials(lambda y, x: np.square(y)), DERIVATIVES),
    Plant("swapped operands", "arctan2", partials(lambda r, y, x: (
        -y / (x * x + y * y), x / (x * x + y * y))), DERIVATIVES),
    Plant("wrong chain", "sigmoid", partials(lambda y, x: y * y), DERIVATIVES),
    Plant("missing factor", "sech2", partials(lambda y, x: -y * np.tanh(x)), DERIVATIVES),
    Plant("lost sign of y", "power", partials(lambda y, x, n: (
        n * x ** (n - 1.0), -y * np.log(x))), DERIVATIVES),
    Plant("swapped factors", "multiply", {"derivative": Transposes((
        lambda ct, a, b: ct * a, lambda ct, a, b: ct * b))}, (laws.adjoint, *DERIVATIVES)),
    Plant("wrong sign of one operand", "subtract", transpose(lambda ct, a, b: (ct, ct)),
          (laws.adjoint, *DERIVATIVES)),
    Plant("swapped branches", "where", transpose(lambda ct, c, a, b: (
        None, np.where(c, 0.0, ct), np.where(c, ct, 0.0))), (laws.adjoint, *DERIVATIVES)),
    Plant("wrong kink side", "maximum", partials(lambda y, a, b: (
        np.heaviside(b - a, 0.5), np.heaviside(a - b, 0.5))), DERIVATIVES),
    # right to first order alone
    Plant("wrong when nested", "sin", partials(lambda y, x: Expr(WRONG_COSINE, (x,), ())),
          (laws.second_derivative,), (laws.derivative, laws.proof, laws.adjoint)),
    # derivatives that are right as mathematics, and lose digits
    Plant("1 - y*y", "tanh", partials(lambda y, x: 1.0 - y * y), (laws.digits_of_partials,),
          (laws.derivative, laws.proof, laws.second_derivative)),
    Plant("y + 1", "expm1", partials(lambda y, x: y + 1.0), (laws.digits_of_partials,),
          (laws.derivative, laws.proof)),
    Plant("1/cosh^2 of tanh", "sech2", partials(lambda y, x: -2.0 * (y - 1.0 / np.cosh(x) ** 2 *
          (1.0 - np.tanh(x)))), (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    Plant("y * (1 - y)", "sigmoid", partials(lambda y, x: y * (1.0 - y)),
          (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    Plant("sqrt(1 - x*x)", "arcsin", partials(lambda y, x: 1.0 / np.sqrt(1.0 - x * x)),
          (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    Plant("1 - x*x", "arctanh", partials(lambda y, x: 1.0 / (1.0 - x * x)),
          (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    Plant("x*x overflows", "arctan", partials(lambda y, x: 1.0 / (1.0 + x * x)),
          (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    Plant("x*x overflows", "arcsinh", partials(lambda y, x: 1.0 / np.sqrt(1.0 + x * x)),
          (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    Plant("x/r of denormal r", "hypot", partials(lambda r, x, y: (x / r, y / r)),
          (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    Plant("rounding of a - b", "logaddexp", partials(lambda y, a, b: (
        1.0 / (1.0 + np.exp(b - a)), 1.0 / (1.0 + np.exp(a - b)))),
          (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    Plant("rounding of x*x", "erf", partials(lambda y, x:
          np.exp(-x * x) / np.sqrt(exactly(np.arctan, 1.0, x))),
          (laws.digits_of_partials,), (laws.derivative, laws.proof)),
    # transposes
    Plant("not the inverse permutation", "transpose", transpose(
        lambda ct, x, axes: (np.transpose(ct, axes),)), (laws.adjoint, laws.derivative)),
    Plant("not flipped", "cumsum", transpose(lambda ct, x, axis: (np.cumsum(ct, axis),)),
          (laws.adjoint, laws.derivative)),
    Plant("not summed", "expand", transpose(lambda ct, x, shape: (ct,)), (laws.adjoint,)),
    Plant("placed in reverse", "getitem", transpose(lambda ct, x, index: (
        place(ct, index, x.shape)[::-1],)), (laws.adjoint, laws.derivative)),
    Plant("transposed operand", "matmul", {"derivative": Transposes((
        lambda ct, a, b: ct @ swap(b), lambda ct, a, b: 2.0 * (swap(a) @ ct)))},
          (laws.adjoint, laws.derivative)),
    Plant("mean for sum", "sum", transpose(lambda ct, x, axes: (
        keep(ct, x, axes) * (ct.size / x.size),)), (laws.adjoint, laws.derivative)),
    # pairs
    Plant("sign in the pullback alone", "solve", {"derivative": Pair(
        TABLE["solve"].derivative.pushforward, lambda y, ct, a, b: tuple(-part for part in
        TABLE["solve"].derivative.pullback(y, ct, a, b)))},
          (laws.adjoint, laws.derivative)),
    Plant("wrong both ways alike", "softmax", {"derivative": Pair(
        _consistent_softmax, lambda y, ct, x, axis: (y * ct,))},
          (laws.derivative,), (laws.adjoint,)),
    Plant("diagonal not halved", "cholesky", {"derivative": Pair(
        TABLE["cholesky"].derivative.pushforward,
        lambda y, ct, a: (2.0 * TABLE["cholesky"].derivative.pullback(y, ct, a)[0],))},
          (laws.adjoint, laws.derivative)),
    Plant("transposed inverse", "det", {"derivative": Pair(
        TABLE["det"].derivative.pushforward,
        lambda y, ct, a: (swap(TABLE["det"].derivative.pullback(y, ct, a)[0]),))},
          (laws.adjoint, laws.derivative)),
    # the other cells
    Plant("another function's ball", "sin", {"ball": "cos"},
          (laws.enclosure, laws.digits_of_value, laws.derivative)),
    Plant("ball of another base", "log10", {"ball": "log"}, (laws.enclosure, laws.digits_of_value)),
    Plant("ball nearly right", "exp", {"ball": lambda x: x.exp() * (1 + 2.0**-40)},
          (laws.digits_of_value,)),
    Plant("ball of the wrong branch", "where", {"ball": lambda c, a, b: b}, (laws.enclosure,)),
    Plant("wrong shape", "sum", {"infer": lambda x, axes: (x.shape, x.dtype)}, (laws.shape,)),
    Plant("wrong dtype", "greater", {"infer": lambda a, b: (a.shape, a.dtype)}, (laws.shape,)),
    Plant("wrong order of axes", "matmul", {"infer": lambda a, b: (
        (*a.shape[:-2], b.shape[-1], a.shape[-2]), a.dtype)}, (laws.shape,)),
    Plant("params kept", "reshape", {"batch": unchanged_params}, (laws.batched,)),
    Plant("axes not shifted", "transpose", {"batch": lambda size, axes: {"axes": (*axes, 3)}},
          (laws.batched,)),
    Plant("index not shifted", "getitem", {"batch": unchanged_params}, (laws.batched,)),
    Plant("another function in SymPy", "sinh", {"sympy": "cosh"}, (laws.symbols_agree, laws.proof)),
    Plant("SymPy off by a factor", "log2", {"sympy": "log"}, (laws.symbols_agree, laws.proof)),
    Plant("SymPy in another order", "matmul", {"sympy": lambda S, a, b: -(a @ b)},
          (laws.symbols_agree,)),
    Plant("SymPy of a step", "heaviside", {"sympy": lambda S, x, h: h}, (laws.symbols_agree,)),
    Plant("not holomorphic", "abs", {"complex": np.abs}, (laws.complex_step,)),
    Plant("conjugate", "sin", {"complex": lambda z: np.conj(np.sin(z))}, (laws.complex_step,)),
    Plant("another ufunc", "sin", {"emit": "cos({0}, {out})"}, (laws.compiles,)),
    Plant("operands swapped in the program", "subtract", {"emit": "subtract({1}, {0}, {out})"},
          (laws.compiles,)),
    Plant("another math function", "sin", {"scalar": "cos({0})"}, (laws.compiles,)),
    Plant("no reason", "rint", {"sympy": Unsupported("")}, (laws.refusals,)),
    Plant("an operand not shown", "hypot", {"text": "hypot({0})"}, (laws.formats,)),
    Plant("unbalanced", "sin", {"latex": r"\sin{{{{{0}}}"}, (laws.formats,)),
    # small cells
    Plant("no view", "getitem", {"view": False}, (cells.views,)),
    Plant("a view", "concatenate", {"view": True}, (cells.views,)),
    Plant("no number kept", "sum", {"shaping": "repeats"}, (cells.shapes_alone,)),
    Plant("some are lost", "getitem", {"elements": "moved"}, (cells.elements,)),
    Plant("no indices", "gather", {"indexed": False}, (cells.indices,)),
    Plant("does not commute", "subtract", {"commutative": True}, (cells.commutes,)),
    Plant("does commute", "hypot", {"commutative": False}, (cells.commutes,)),
    Plant("wild", "log", {"tame": True}, (cells.tame,)),
    Plant("the other one", "maximum", {"choice": lambda a, b: (a < b, b < a)}, (cells.choices,)),
    Plant("the smallest", "max", {"choice": lambda x, axes: (x == np.min(x),)}, (cells.choices,)),
    Plant("exact", "exp", {"rounding": exact}, (cells.rounds,)),
    Plant("one rounding", "det", {"rounding": nearest}, (cells.rounds,)),
    Plant("another function on vectors", "sin", {"native": "cos"}, (cells.vectors,)),
    Plant("two roundings", "divide", {"native": lambda v, a, b: a * (1.0 / b)},
          (cells.vectors,)),
    Plant("the sign of 0", "rint", {"native": lambda v, x: v.rint(x) + 0.0}, (cells.vectors,)),
    Plant("true and true is true", "add", {"native": lambda v, a, b: a - -b}, (cells.vectors,)),
)  # fmt: skip


def _name(plant: Plant) -> str:
    return f"{plant.row}: {plant.what}"


@pytest.mark.parametrize("plant", PLANTS, ids=_name)
def test_planted_rule_is_caught(plant: Plant) -> None:
    right = TABLE[plant.row]
    wrong = replace(right, **plant.wrong)
    for law in plant.caught_by:
        law(right)
        with pytest.raises((AssertionError, ValueError, IndexError, TypeError)):
            law(wrong)
    for law in plant.missed_by:
        law(wrong)


def test_every_law_catches_something() -> None:
    caught = {law for plant in PLANTS for law in plant.caught_by}
    assert caught == {*laws.LAWS, *cells.CELLS}
