"""For test suites: a gradient is asserted in one line.

>>> import numpy as np
>>> assert_gradient(lambda x: np.sum(x**3), np.array([1.0, 2.0]), gradient=lambda x: 3 * x**2)
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from difflab.accuracy.check import check
from difflab.operators.arguments import Argnums

__all__ = ["assert_gradient", "assert_primitive"]


def assert_gradient(
    f: Callable[..., Any],
    *args: Any,
    gradient: Callable[..., Any] | None = None,
    order: int = 1,
    argnums: Argnums | None = None,
) -> None:
    """Fail with the whole explanation unless a gradient is right; parameters as for `check`.

    A gradient that is right but badly rounded passes, as does a value between the one-sided
    derivatives at a kink. What is undecided fails, because a test should not pass on a guess.

    Raises
    ------
    AssertionError
        With the text of the check.

    Examples
    --------
    >>> import numpy as np
    >>> assert_gradient(np.sin, 0.5, gradient=lambda x: -np.cos(x))
    Traceback (most recent call last):
    ...
    AssertionError: wrong: the derivative of sin is wrong at this point.
      x: given -0.877583, should be 0.877583 (off by 2 relative)
      diagnosis: x has the wrong sign.
    """
    __tracebackhide__ = True
    found = check(f, *args, gradient=gradient, order=order, argnums=argnums)
    if not found.ok:
        raise AssertionError(str(found))


def assert_primitive(
    primitive: Callable[..., Any], *points: tuple[Any, ...], noise: float | None = None
) -> None:
    """Fail with the whole explanation unless a `difflab.primitive` has the right rules at points.

    Both modes, so that the pullback, the pushforward and what is transposed of them agree with
    extrapolated differences of the function, and with each other.

    Parameters
    ----------
    primitive
        What `difflab.primitive` returned.
    points
        Tuples of arguments.
    noise
        As of `check`: how wrong a solver's values may be.

    Raises
    ------
    AssertionError
        With the text of the check, and the arguments' names.

    Examples
    --------
    >>> import difflab
    >>> import numpy as np
    >>> doubled = difflab.primitive(np.sin, lambda y, ct, x: 2.0 * ct * np.cos(x))
    >>> assert_primitive(doubled, (0.5,))
    Traceback (most recent call last):
    ...
    AssertionError: wrong: the derivative of sin is wrong at this point.
    ...
    """
    __tracebackhide__ = True
    for args in points:
        found = check(primitive, *args, noise=noise)
        if not found.ok:
            raise AssertionError(str(found))
