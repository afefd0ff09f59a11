"""The gradient checkers, difflab's and those of other projects, each behind one function.

What flows: a NumPy function, its gradient and a point go in; an `Answer` comes out, with the
tolerance that the tool states. Each tool is called in the way in which its manual says, with the
settings that it has by default; none but difflab sees more than values. The invariant: importing
this module imports no peer, and a peer that is not installed is a version "missing", not a failure.

A gradient of a function with a value of shape s by an argument of shape a has the shape s + a, so
Jacobians are checked too; several arguments have a tuple of gradients.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from importlib import metadata
from typing import Any

import numpy as np
from numpy.typing import NDArray

from apparatus.mutants import parts_of
from difflab.accuracy.subject import numbers, spans

OWN, OPAQUE = "difflab", "difflab (opaque)"
ACCEPTED, REJECTED, UNDECIDED, ERROR = "accepted", "rejected", "undecided", "error"
NONE = "no derivative"  # what a checker answers that knows of kinks
WITHIN = "tolerated"  # a mistake that is accepted, inside the tolerance that the checker states
MISSING = "missing"
SEED = 20250101  # of the tools that draw directions from NumPy's global generator
Array = NDArray[np.float64]
Function = Callable[..., Any]
Tolerance = Callable[[Array, Array], bool]
"""Whether errors of that size, of components of that size, are inside what a checker tolerates."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a checker says of a gradient, in which words, what it tolerates as it says, and which
    components it calls wrong (words and components: difflab alone).
    """

    answer: str
    words: str = ""
    tolerance: Tolerance | None = None
    wrong: Array | None = None

    def of(self, off: Array | None, exact: Array | None, wrong: bool) -> str:
        """The answer, where a mistake may be inside the tolerance that the checker states."""
        asked = wrong and self.answer == ACCEPTED and off is not None and exact is not None
        covered = asked and self.tolerance and self.tolerance(off, np.abs(exact))
        return WITHIN if covered else self.answer


def componentwise(absolute: Any, relative: float = 0.0) -> Tolerance:
    """Every component within an absolute tolerance and a relative one."""
    return lambda off, size: (
        np.shape(absolute) in ((), off.shape) and bool(np.all(off <= absolute + relative * size))
    )


@dataclass(frozen=True, slots=True)
class Peer:
    """A checker of another project, and what its acceptance means."""

    package: str
    call: str
    rule: str
    run: Callable[[Function, Function, list[Any]], Answer]


def typed(function: Function, dtype: str) -> Function:
    """A function of arrays of one dtype to arrays of that dtype, whatever a tool gives it."""

    def typed(*args: Any) -> Any:
        result = function(*[np.array(x, dtype)[()] for x in args])
        if isinstance(result, tuple):
            return tuple(np.asarray(part, dtype) for part in result)
        return np.asarray(result, dtype)

    return typed


@contextlib.contextmanager
def _numpy_seeded() -> Iterator[None]:
    """The same draws from NumPy's global generator each time, which is then put back."""
    before = np.random.get_state()  # noqa: NPY002 (what autograd draws from)
    np.random.seed(SEED)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _pulled(cotangent: Any, block: Any) -> Any:
    return np.tensordot(cotangent, block, np.ndim(cotangent))


# The tools ----------------------------------------------------------------------------------------


def _torch(f: Any, gradient: Any, point: list[Any]) -> Answer:
    import torch

    class Wrapped(torch.autograd.Function):
        @staticmethod
        def forward(context: Any, *tensors: Any) -> Any:
            context.save_for_backward(*tensors)
            return torch.from_numpy(f(*[x.detach().numpy() for x in tensors]).copy())

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(context: Any, cotangent: Any) -> Any:
            blocks = gradient(*[x.detach().numpy() for x in context.saved_tensors])
            parts = [np.asarray(_pulled(cotangent.numpy(), block)) for block in blocks]
            return tuple(torch.from_numpy(part.copy()) for part in parts)

    tensors = tuple(torch.from_numpy(x.copy()).requires_grad_() for x in point)
    right = torch.autograd.gradcheck(Wrapped.apply, tensors, raise_exception=False)
    return _said(right, componentwise(1e-5, 1e-3))


@cache
def _jax_function(value: tuple[int, ...], shapes: tuple[Any, ...], dtype: str) -> Any:
    """A function of JAX with what it calls in a slot: one for all functions of some shapes, since
    JAX compiles each anew.
    """
    import jax

    slot: dict[str, Any] = {}
    shaped = jax.ShapeDtypeStruct(value, dtype)
    blocks = tuple(jax.ShapeDtypeStruct(shape, dtype) for shape in shapes)

    def pulled(cotangent: Any, *xs: Any) -> Any:
        found = [_pulled(np.asarray(cotangent), block) for block in slot["gradient"](*xs)]
        return tuple(np.asarray(part, dtype) for part in found)

    called = lambda *xs: slot["f"](*xs)
    wrapped = jax.custom_vjp(lambda *xs: jax.pure_callback(called, shaped, *xs))
    wrapped.defvjp(
        lambda *xs: (wrapped(*xs), xs),
        lambda xs, cotangent: jax.pure_callback(pulled, blocks, cotangent, *xs),
    )
    return wrapped, slot


def _jax(f: Any, gradient: Any, point: list[Any]) -> Answer:
    import jax
    from jax.test_util import check_grads

    value = f(*point)
    logging.getLogger("jax").setLevel(logging.CRITICAL)  # what a callback raises is reported here
    jax.config.update("jax_enable_x64", value.dtype == np.float64)
    wrapped, slot = _jax_function(value.shape, tuple(x.shape for x in point), str(value.dtype))
    slot |= {"f": f, "gradient": gradient}
    check_grads(wrapped, tuple(map(jax.numpy.asarray, point)), order=1, modes=["rev"])
    close = 1e-5 if value.dtype == np.float64 else 2e-3
    return _said(True, componentwise(close, close))


def _autograd(f: Any, gradient: Any, point: list[Any]) -> Answer:
    from autograd.extend import defvjp, primitive
    from autograd.test_util import check_grads

    wrapped = primitive(lambda *xs: f(*xs)[()])

    def pullback(place: int, value: Any, *xs: Any) -> Function:
        return lambda cotangent: _pulled(cotangent, gradient(*xs)[place])[()]

    places = tuple(range(len(point)))
    defvjp(wrapped, *[partial(pullback, place) for place in places])
    check_grads(wrapped, places, modes=["rev"], order=1)(*[x[()] for x in point])
    return _said(True, lambda off, size: bool(np.all(off <= 1e-6 * np.maximum(size, 1))))


def _scipy(f: Any, gradient: Any, point: list[Any]) -> Answer:
    from scipy.optimize import check_grad

    flat, slopes, x = _flat(f, gradient, point)
    close = 1e-6 * max(1.0, float(np.linalg.norm(slopes(x))))
    right = float(check_grad(flat, slopes, x)) <= close
    return _said(right, lambda off, size: bool(np.linalg.norm(off) <= close))


def _scipy_differentiate(f: Any, gradient: Any, point: list[Any]) -> Answer:
    from scipy.differentiate import jacobian

    flat, slopes, x = _flat(f, gradient, point)

    def columns(vectors: Any) -> Any:
        lead = vectors.shape[1:]
        values = [np.atleast_1d(flat(vectors[:, *place])) for place in np.ndindex(lead)]
        return np.stack(values, -1).reshape(-1, *lead)

    found = jacobian(columns, x)
    given = np.reshape(slopes(x), found.df.shape)
    band = 10 * found.error + 10 * np.spacing(np.abs(given)).astype(np.float64)
    outside = ~(np.abs(found.df - given) <= band)
    if np.any(outside) and not np.any(outside & np.asarray(found.success, bool)):
        return Answer(UNDECIDED)
    return _said(not np.any(outside), componentwise(_by_argument(band, point)))


def _numdifftools(f: Any, gradient: Any, point: list[Any]) -> Answer:
    import numdifftools

    flat, slopes, x = _flat(f, gradient, point)
    given = np.atleast_1d(slopes(x))
    kind = numdifftools.Gradient if np.ndim(flat(x)) == 0 else numdifftools.Jacobian
    found = kind(flat, full_output=True)(x)
    about = found if hasattr(found, "error_estimate") else found[1]  # before version 0.11
    band = 10 * np.reshape(about.error_estimate, given.shape)
    band = band + 10 * np.spacing(np.abs(given)).astype(np.float64)
    off = np.abs(np.reshape(found[0], given.shape) - given)
    return _said(bool(np.all(off <= band)), componentwise(_by_argument(band, point)))


def _by_argument(joined: Any, point: Sequence[Any]) -> Array:
    """A Jacobian by one vector of all arguments, in the order of a gradient's numbers."""
    rows = np.reshape(joined, (-1, sum(x.size for x in point)))
    return numbers([rows[:, span] for span in spans([x.shape for x in point])])


def _said(right: bool, tolerance: Tolerance) -> Answer:
    return Answer(ACCEPTED if right else REJECTED, "", tolerance)


def _flat(f: Any, gradient: Any, point: list[Any]) -> tuple[Any, Any, Any]:
    """The function and its gradient of one vector of all arguments, and that vector."""
    places = spans([x.shape for x in point])

    def split(vector: Any) -> list[Any]:
        flat = np.ravel(vector)
        return [flat[place].reshape(x.shape) for place, x in zip(places, point, strict=True)]

    def values(vector: Any) -> Any:
        value = f(*split(vector))
        return value.ravel() if value.ndim else value[()]

    def slopes(vector: Any) -> Any:
        value, blocks = values(vector), gradient(*split(vector))
        joined = np.hstack([np.reshape(block, (np.size(value), -1)) for block in blocks])
        return joined if np.ndim(value) else joined[0]

    return values, slopes, np.concatenate([x.ravel() for x in point])


# fmt: off
PEERS: Mapping[str, Peer] = {
    "torch": Peer("torch", "torch.autograd.gradcheck",
                  "every component within 1e-5 + 1e-3 |g|, step 1e-6", _torch),
    "jax": Peer("jax", "jax.test_util.check_grads, rev",
                "one drawn direction within 1e-5 (1 + |g|), or 2e-3 in float32", _jax),
    "autograd": Peer("autograd", "autograd.test_util.check_grads, rev",
                     "one drawn direction within 1e-6, absolute or relative", _autograd),
    "scipy": Peer("scipy", "scipy.optimize.check_grad", "the error's norm at most 1e-6 max(1, |g|):"
                  " it returns a number and leaves the rule to us", _scipy),
    "numdifftools": Peer("numdifftools", "numdifftools.Gradient, Jacobian", "every component within"
                         " 10 times the error that it estimates, and 10 ulps: it returns both",
                         _numdifftools),
    "scipy.differentiate": Peer("scipy", "scipy.differentiate.jacobian", "`.df` within 10 times"
                                " `.error`, and 10 ulps; undecided where it is not, nor `.success`",
                                _scipy_differentiate),
}
# fmt: on
CHECKERS = (OWN, OPAQUE, *PEERS)
"""In the order of the page."""


# All of them --------------------------------------------------------------------------------------


def version(checker: str) -> str:
    """The installed version of a checker, or "missing"."""
    try:
        return metadata.version(PEERS[checker].package if checker in PEERS else "difflab")
    except metadata.PackageNotFoundError:
        return MISSING


def judge(checker: str, f: Function, gradient: Function, args: tuple[Any, ...]) -> Answer:
    """What a checker says of a gradient; what it raises, other than a rejection, is an error."""
    dtype = str(np.asarray(args[0]).dtype)
    function, slopes = typed(f, dtype), typed(gradient, dtype)
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"), _numpy_seeded():
            warnings.simplefilter("ignore")
            if checker == OWN:
                return _difflab(f, gradient, args)
            if checker == OPAQUE:
                return _difflab(opaque(function), opaque(slopes), args)
            point = [np.asarray(x, dtype) for x in args]
            return PEERS[checker].run(function, lambda *xs: parts_of(slopes(*xs)), point)
    except AssertionError:  # how JAX and autograd reject
        return Answer(REJECTED)
    except Exception as reason:
        return Answer(ERROR, f"{type(reason).__name__}: {str(reason).partition(chr(10))[0]}")


def _difflab(f: Function, gradient: Function, args: tuple[Any, ...]) -> Answer:
    from difflab.accuracy.check import check

    said = check(f, *args, gradient=gradient)
    words = f"{said.verdict}: {said.diagnosis}" if said.diagnosis else said.verdict
    bands = np.array([c.band for c in said.components])
    wrong = np.array([c.verdict == "wrong" for c in said.components])
    return Answer(VERDICTS[said.verdict], words, componentwise(bands), wrong)


VERDICTS = {"correct": ACCEPTED, "rounding": ACCEPTED, "wrong": REJECTED, "kink": NONE,
            "undecided": UNDECIDED}  # fmt: skip
"""Answers by difflab's verdicts."""


def opaque(function: Function) -> Function:
    """The same function, which cannot be traced: its arguments go through their bytes."""

    def hidden(*args: Any) -> Any:
        arrays = [np.asarray(x) for x in args]
        plain = [np.frombuffer(x.tobytes(), x.dtype).reshape(x.shape).copy() for x in arrays]
        return function(*plain)

    return hidden
