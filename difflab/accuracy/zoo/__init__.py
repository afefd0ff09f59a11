"""The zoo: named functions with the points at which their derivatives are studied.

Tests and experiments draw their cases from here. Every member is a plain NumPy function (it imports
nothing but NumPy), pure, and evaluates at all of its points without raising. The members themselves
are in `scalar` (a number in, a number out), `multivariate` (several in, one out) and
`arrays` (matrices, networks, vectors out) and `special` (choices, jumps, holes); the form
in which they are written, with the meaning of kinds and tags, is in `form`.

>>> rosenbrock = lookup("rosenbrock")
>>> rosenbrock.points[0].args
(array([-1.2,  1. ]),)
>>> round(float(rosenbrock.f(*rosenbrock.points[0].args)), 12)
24.2
>>> sorted(name for name, entry in ZOO.items() if {"scalar", "kink"} <= entry.tags)[:3]
['absolute', 'clip', 'piecewise']
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from difflab.accuracy.zoo import arrays, multivariate, scalar, special
from difflab.accuracy.zoo.form import TAGS, Array, Function, Kind, Point
from difflab.errors import UnknownNameError

__all__ = ["TAGS", "ZOO", "Array", "Function", "Kind", "Point", "lookup"]

ZOO: Mapping[str, Function] = MappingProxyType(
    scalar.member.functions
    | multivariate.member.functions
    | arrays.member.functions
    | special.member.functions
)


def lookup(name: str) -> Function:
    """The zoo function of that name.

    Parameters
    ----------
    name
        A key of `ZOO`.

    Returns
    -------
    Function
        The function with its points, tags, summary (its formula) and source.

    Raises
    ------
    UnknownNameError
        When there is no such function; the text gives the nearest name.

    Examples
    --------
    >>> baydin = lookup("baydin")
    >>> baydin.summary
    'ln x1 + x1 x2 - sin x2'
    >>> x1, x2 = baydin.points[0].args
    >>> round(float(baydin.f(x1, x2)), 3)
    11.652
    >>> lookup("baidyn")
    Traceback (most recent call last):
    ...
    difflab.errors.UnknownNameError: unknown zoo function 'baidyn'
    ...
      remedy: did you mean 'baydin'? known: absolute, ...
    """
    if name not in ZOO:
        raise UnknownNameError("zoo function", name, ZOO)
    return ZOO[name]
