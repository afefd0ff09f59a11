"""HIPS autograd's own test suite, run against difflab.

Run ``python benchmarks/autograds_tests.py FOLDER`` with the folder ``tests`` of autograd's sources
(autograd itself need not be installed). ``autograd.numpy`` is NumPy and ``autograd.scipy`` SciPy;
``grad``, ``jacobian``, ... are difflab's operators; ``check_grads`` holds difflab's gradients and
pushforwards, and for order 2 theirs, against differences. Not applicable are complex arguments,
autograd's insides, and names that NumPy does not have.
"""

from __future__ import annotations

import argparse
import builtins
import itertools
import sys
import types
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import scipy.integrate
import scipy.linalg
import scipy.signal
import scipy.special
import scipy.stats
from global_functions import within

import difflab
from difflab.errors import DifflabError

Function = Callable[..., Any]
checks: Counter[str] = Counter()
"""Of the test that runs: how many checks were made, and how many were of complex numbers."""


# autograd's functions -----------------------------------------------------------------------------


def leaves(tree: Any) -> list[Any]:
    """The arrays and numbers of nested lists, tuples and dicts."""
    if isinstance(tree, dict):
        return [leaf for key in sorted(tree) for leaf in leaves(tree[key])]
    if isinstance(tree, (list, tuple)):
        return [leaf for part in tree for leaf in leaves(part)]
    return [tree]


def mapped(f: Function, *trees: Any) -> Any:
    """A tree of f of the leaves."""
    if isinstance(trees[0], dict):
        return {key: mapped(f, *(tree[key] for tree in trees)) for key in trees[0]}
    if isinstance(trees[0], (list, tuple)):
        return type(trees[0])([mapped(f, *parts) for parts in zip(*trees, strict=True)])
    return f(*trees)


def check_grads(
    f: Function, argnum: Any = 0, modes: Any = ("fwd", "rev"), order: int = 2
) -> Function:
    """A function that checks f at its arguments."""

    def check(*args: Any, **kwargs: Any) -> None:
        numbers = tuple(argnum) if isinstance(argnum, (tuple, list)) else (argnum,)
        given = [args[i] for i in numbers]
        results = leaves(f(*args, **kwargs))
        if any(np.iscomplexobj(leaf) for leaf in leaves(list(args))):
            checks["complex"] += 1
            return
        checks["made"] += 1
        rng = np.random.default_rng(0)
        ways, turns = [
            mapped(lambda leaf: rng.uniform(0.5, 1.5, np.shape(leaf)) + 0.0, list(given))
            for _ in range(2)
        ]
        weights = [rng.uniform(0.5, 1.5, np.shape(result)) for result in results]

        def weighed(*chosen: Any) -> Any:
            every = list(args)
            for i, each in zip(numbers, chosen, strict=True):
                every[i] = each
            parts = zip(weights, leaves(f(*every, **kwargs)), strict=True)
            return sum((np.sum(w * np.real(leaf) - w * np.imag(leaf)) for w, leaf in parts), 0.0)

        slopes(weighed, given, ways, modes or ("fwd", "rev"))
        if order > 1:
            every = tuple(range(len(numbers)))

            def slope(*chosen: Any) -> Any:
                found = leaves(list(difflab.gradient(weighed, argnums=every)(*chosen)))
                return sum((np.sum(g * d) for g, d in zip(found, leaves(ways), strict=True)), 0.0)

            slopes(slope, given, turns, modes or ("fwd", "rev"))

    return check


def slopes(f: Function, given: list[Any], ways: list[Any], modes: Any) -> None:
    """Hold difflab's slope of f in a direction against differences."""
    floats = [mapped(lambda leaf: np.asarray(leaf, float)[()], each) for each in given]

    def along(t: float) -> float:
        moved = [mapped(lambda a, d: a + t * d, *each) for each in zip(floats, ways, strict=True)]
        return float(f(*moved))

    rough, fine, near = ((along(h) - along(-h)) / (2.0 * h) for h in (1e-3, 5e-4, 5e-7))
    truth, found = (4.0 * fine - rough) / 3.0, []
    if abs(truth - near) > 1e-5 * (1.0 + abs(near)):  # a jump within reach
        truth = near
    if "rev" in modes:
        gradients = leaves(list(difflab.gradient(f, argnums=tuple(range(len(floats))))(*floats)))
        found += [sum(np.sum(g * d) for g, d in zip(gradients, leaves(ways), strict=True))]
    if "fwd" in modes:
        found += [difflab.jvp(f, tuple(floats), tuple(ways))[1]]
    np.testing.assert_allclose(found, truth, rtol=2e-6, atol=2e-6)


def combo_check(f: Function, *options: Any, **named: Any) -> Function:
    """A function that checks f at all combinations of arguments."""

    def check(*args: Any, **kwargs: Any) -> None:
        keys = [[(key, value) for value in values] for key, values in kwargs.items()]
        for chosen in itertools.product(*args):
            for pairs in itertools.product(*keys):
                check_grads(f, *options, **named)(*chosen, **dict(pairs))

    return check


def check_equivalent(x: Any, y: Any) -> None:
    for a, b in zip(leaves(x), leaves(y), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def absent(name: str) -> Any:
    def skips(*_: Any, **__: Any) -> Any:
        pytest.skip(f"not applicable: autograd's {name}", allow_module_level=True)

    return skips


def elementwise_grad(f: Function, argnum: Any = 0) -> Function:
    return difflab.gradient(lambda *args, **kwargs: np.sum(f(*args, **kwargs)), argnums=argnum)


def make_vjp(f: Function, argnum: int = 0) -> Function:
    def at(*args: Any) -> Any:
        value, pull = difflab.vjp(f, *args, argnums=argnum)
        return (lambda cotangent: pull(cotangent)[0]), value

    return at


def product(of: Function) -> Callable[[Function], Function]:
    """Of a derivative's blocks with a tensor, over the axes of the output or of the input."""
    return lambda f: lambda x, v: np.tensordot(of(f)(x), v, np.ndim(v))


def tensor_jacobian_product(f: Function) -> Function:
    return lambda x, v: np.tensordot(v, difflab.jacobian(f)(x), np.ndim(v))


def grad(f: Function, argnum: Any = 0) -> Function:
    """autograd's gradient takes arrays of one element for numbers."""

    def number(*args: Any, **kwargs: Any) -> Any:
        found = f(*args, **kwargs)
        return np.reshape(found, ()) if np.ndim(found) and np.size(found) == 1 else found

    return difflab.gradient(number, argnums=argnum)


OPERATORS: dict[str, Any] = {
    "grad": grad,
    "value_and_grad": lambda f, argnum=0: difflab.value_and_gradient(f, argnums=argnum),
    "jacobian": lambda f, argnum=0: difflab.jacobian(f, argnums=argnum),
    "hessian": lambda f, argnum=0: difflab.hessian(f, argnums=argnum),
    "elementwise_grad": elementwise_grad,
    "deriv": elementwise_grad,
    "make_vjp": make_vjp,
    "make_jvp": lambda f: lambda *args: lambda *ways: difflab.jvp(f, args, ways),
    "make_hvp": lambda f: lambda x: (lambda v: difflab.hvp(f, (x,), (v,)), None),
    "hessian_tensor_product": product(difflab.hessian),
    "tensor_jacobian_product": tensor_jacobian_product,
    "checkpoint": lambda f: f,
    "holomorphic_grad": absent("holomorphic_grad"),
    **{name: getattr(builtins, name) for name in ("list", "tuple", "dict", "isinstance")},
}
TEST_UTIL: dict[str, Any] = {
    "check_grads": check_grads,
    "combo_check": combo_check,
    "check_equivalent": check_equivalent,
    "scalar_close": lambda a, b: np.isclose(a, b, rtol=1e-6, atol=1e-6),
}


def install() -> None:
    """Let ``import autograd`` find the modules above."""

    def module(name: str, names: dict[str, Any]) -> types.ModuleType:
        found = types.ModuleType(name)
        found.__dict__.update(names, __path__=[], __getattr__=absent)
        sys.modules[name] = found
        return found

    autograd = module("autograd", OPERATORS)
    module("autograd.test_util", TEST_UTIL)
    module("autograd.builtins", OPERATORS)
    for name in ("core", "tracer", "extend", "misc", "util", "wrap_util"):
        module(f"autograd.{name}", {})
    autograd.numpy, autograd.scipy = np, scipy  # type: ignore[attr-defined]
    sys.modules |= {"autograd.numpy": np, "autograd.scipy": scipy}
    for name in ("random", "linalg", "fft"):
        sys.modules[f"autograd.numpy.{name}"] = getattr(np, name)
    for name in ("integrate", "linalg", "signal", "special", "stats"):
        sys.modules[f"autograd.scipy.{name}"] = getattr(scipy, name)
    sys.modules["autograd.scipy.stats.multivariate_normal"] = scipy.stats.multivariate_normal


# Running ------------------------------------------------------------------------------------------


OF_AUTOGRAD = {
    "test_rfftn_odd_not_implemented": "that autograd refuses odd sizes",
    "test_assignment_raises_error": "that autograd refuses assignment",
    "test_nograd": "a refusal of autograd's",
    "test_unimplemented_falseyness": "autograd's insides",
    "test_scalar_array_box_attributes": "autograd's insides",
    "test_custom_where": "a function of autograd's",
    "test_wrapped_name_and_docs": "autograd's names of its functions",
    "test_isinstance": "types of arguments that hold no numbers",
    "test_convolve_generalization": "autograd's options axes= and dot_axes=",
    "test_convolve_ignore": "autograd's options axes= and dot_axes=",
}
"""What is not applicable, by the beginning of its name, and what it tests."""


class Recorder:
    """A plugin of pytest that gives each test a verdict."""

    def __init__(self, seconds: int) -> None:
        self.seconds = seconds
        self.verdicts: dict[str, tuple[str, str]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Iterator[None]:
        checks.clear()
        try:
            with warnings.catch_warnings(), np.errstate(all="ignore"), within(self.seconds):
                warnings.simplefilter("ignore")
                yield
        except BaseException as error:
            own = item.name.startswith(tuple(OF_AUTOGRAD))
            self.verdicts[item.nodeid] = "not applicable" if own else self.of(error), str(error)
            raise
        complex_only = checks["complex"] and not checks["made"]
        self.verdicts[item.nodeid] = ("not applicable" if complex_only else "passed"), "complex"

    def of(self, error: BaseException) -> str:
        if isinstance(error, pytest.skip.Exception):
            return "not applicable"
        if isinstance(error, AttributeError) and "module 'numpy" in str(error):
            return "not applicable"
        if isinstance(error, DifflabError):
            return "not applicable" if "complex" in str(error) else "refused"
        return "failed" if isinstance(error, AssertionError) else "another error"


def main() -> None:
    """Print why each test that did not pass did not, and the counts."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("-k", default="", help="only tests whose name holds this")
    parser.add_argument("--seconds", type=int, default=30, help="the most for one test")
    options = parser.parse_args()
    install()
    recorder = Recorder(options.seconds)
    quiet = ["-q", "-q", "--no-header", "--tb=no", "-p", "no:cacheprovider", "-c", "/dev/null"]
    pytest.main([str(options.folder), "-k", options.k, *quiet], plugins=[recorder])
    for name, (verdict, why) in recorder.verdicts.items():
        if verdict not in ("passed", "not applicable"):
            print(f"{name}: {verdict}: {' '.join(why.split())[:200]}")
    counts = Counter(verdict for verdict, _ in recorder.verdicts.values())
    print("| verdict | tests |\n|---|---:|")
    for verdict in ("passed", "refused", "failed", "another error", "not applicable"):
        print(f"| {verdict} | {counts[verdict]} |")


if __name__ == "__main__":
    main()
