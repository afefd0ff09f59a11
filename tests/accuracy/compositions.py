"""Random smooth functions as people meet them, with the truth in many digits.

What flows: a seed becomes an expression, a text over the variables ``x[0]``, ``x[1]``, ... and a
point of floats. The text is read twice: with floats it is the function to differentiate, with
mpmath's numbers and a complex step it is its own oracle. The invariant: both readings see the same
constants and the same point, exactly, and the value and all derivatives are finite.

>>> case = composition(3)
>>> print(np.isfinite(case(case.point)), len(case.truth()) == len(case.point))
True True
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import mpmath
import numpy as np
from scipy.special import erf

FLOATS: dict[str, Any] = {
    name: getattr(np, name)
    for name in ("exp", "sin", "cos", "tan", "tanh", "log", "sqrt", "arctan", "arcsinh")
} | {"erf": erf, "num": float}
BALLS: dict[str, Any] = {
    "exp": mpmath.exp, "sin": mpmath.sin, "cos": mpmath.cos, "tan": mpmath.tan,
    "tanh": mpmath.tanh, "log": mpmath.log, "sqrt": mpmath.sqrt, "arctan": mpmath.atan,
    "arcsinh": mpmath.asinh, "erf": mpmath.erf, "num": mpmath.mpf,
}  # fmt: skip
DIGITS = 100
LARGE = 1e12
"""Beyond this size a value is scaled down: nobody computes there."""
WIDE = {"exp": 30.0, "tanh": 6.0, "erf": 4.0, "sin": 1e4, "cos": 1e4, "tan": 1e2}
"""Arguments up to which a function is worth calling."""


@dataclass(frozen=True)
class Composition:
    """A function of a vector, and the point."""

    text: str
    point: np.ndarray[Any, Any]

    def __call__(self, x: Any) -> Any:
        """Its value in floats."""
        return self._read(FLOATS, x)

    def _read(self, names: dict[str, Any], x: Any) -> Any:
        return eval(self.text, names | {"x": x})  # a text that `_Made` has written

    def truth(self) -> np.ndarray[Any, Any]:
        """All partial derivatives, correctly rounded."""
        with mpmath.workdps(DIGITS):
            step = mpmath.mpf(10) ** (-DIGITS // 3)
            exact = [mpmath.mpf(float(v)) for v in self.point]
            slopes = []
            for i, v in enumerate(exact):
                moved = [*exact[:i], mpmath.mpc(v, step * max(abs(v), 1e-3)), *exact[i + 1 :]]
                slopes.append(
                    float(mpmath.im(self._read(BALLS, moved)) / (step * max(abs(v), 1e-3)))
                )
        return np.array(slopes)


def composition(seed: int) -> Composition:
    """The function of a seed."""
    rng = np.random.default_rng(seed)
    while True:
        size = int(rng.integers(1, 5))
        point = _point(rng, size)
        made = _Made(rng, point)
        text = made.tree(int(rng.integers(2, 6)))
        used = [i for i in range(size) if f"x[{i}]" in text]
        for new, old in enumerate(used):
            text = text.replace(f"x[{old}]", f"x[{new}]")
        case = Composition(text, point[used])
        with np.errstate(all="ignore"), contextlib.suppress(ArithmeticError, ValueError):
            if used and np.isfinite(case(case.point)) and np.all(np.isfinite(case.truth())):
                return case


def compositions(seeds: Sequence[int]) -> Iterator[Composition]:
    """One function a seed."""
    return map(composition, seeds)


def _point(rng: np.random.Generator, size: int) -> np.ndarray[Any, Any]:
    """Components near 1 half the time, else of any scale; at times round."""
    wide = rng.random() < 0.5
    x = rng.choice([-1.0, 1.0], size) * 10.0 ** rng.uniform(*((-3, 4) if wide else (-1, 1)), size)
    return np.where(rng.random(size) < 0.15, np.round(x), x) + 0.0


@dataclass
class _Made:
    """Builds texts, looking at the values so that they stay in the domain."""

    rng: np.random.Generator
    point: np.ndarray[Any, Any]

    def value(self, text: str) -> float:
        with np.errstate(all="ignore"):
            return float(eval(text, FLOATS | {"x": self.point}))

    def constant(self, low: float = -1.0, high: float = 1.0) -> str:
        """A number of some scale, written with few digits half the time."""
        number = self.rng.choice([-1.0, 1.0]) * 10.0 ** self.rng.uniform(low, high)
        return f"num({number:.2g})" if self.rng.random() < 0.5 else f"num({float(number)!r})"

    def leaf(self) -> str:
        i = int(self.rng.integers(len(self.point)))
        match int(self.rng.integers(5)):
            case 0 | 1:
                return f"x[{i}]"
            case 2:
                return f"({self.constant()}*x[{i}])"
            case 3:  # a variable less a number near it
                near = float(self.point[i]) * (1.0 + 10.0 ** self.rng.uniform(-4, 0))
                return f"(x[{i}] - num({near:.6g}))"
        return f"({self.constant(-1, 3)} + x[{i}])"

    def within(self, text: str, most: float) -> str:
        size = abs(self.value(text))
        if not size <= most:
            power = math.ceil(math.log10(size / most)) if math.isfinite(size) else 300
            return f"({text}/num(1e{power}))"
        return text

    def unary(self, u: str) -> str:
        kinds = (
            "exp", "exp", "sin", "sin", "cos", "tan", "tanh", "log", "sqrt", "arctan", "arcsinh",
            "erf", "square", "cube", "power", "reciprocal", "logistic", "offset", "shrunk",
        )  # fmt: skip
        kind = str(self.rng.choice(kinds))
        u = self.within(u, WIDE.get(kind, LARGE))
        match kind:
            case "log" | "sqrt" if self.value(u) <= 0.0 or self.rng.random() < 0.3:
                return f"{kind}(num({self.rng.choice([0.1, 1, 2, 10])}) + {u}**2)"
            case "square":
                return f"({u}**2)"
            case "cube":
                return f"({u}**3)"
            case "power":
                return f"((1 + {u}**2)**num({self.rng.choice([-1.5, -0.5, 0.3, 1.7])}))"
            case "reciprocal":
                return f"(1/({self.constant(0, 1)} + {u}))"
            case "logistic":
                return f"(1/(1 + exp(-{self.within(u, 30.0)})))"
            case "offset":  # a small thing on top of a large one
                return f"({self.constant(1, 6)} + {u})"
            case "shrunk":
                return f"({self.constant(-6, -1)}*{u})"
        return f"{kind}({u})"

    def tree(self, depth: int) -> str:
        if depth <= 0:
            return self.leaf()
        if self.rng.random() < 0.5:
            return self.unary(self.tree(depth - 1))
        other = self.tree(int(self.rng.integers(0, depth)))
        u = self.within(self.tree(depth - 1), LARGE)
        v = self.within(other, LARGE)
        match int(self.rng.integers(7)):
            case 0 | 1:
                return f"({u} + {v})"
            case 2:
                return f"({u} - {v})"
            case 3:
                return f"({u}*{v})"
            case 4:
                return f"({u}/{v})"
            case 5:
                return f"({u}/(1 + {v}**2))"
        return f"sqrt({u}**2 + {v}**2)"
