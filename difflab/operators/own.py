"""A rule of one's own: a plain function (C, SciPy, PyTorch, a solver) becomes one node of a graph.

What flows: a call with traced arrays becomes a node that calls the function back, in every engine.
Its rules are traced as NumPy text and written into derivatives; of what a function does not have,
the transpose of its other rule is taken; and a rule that cannot be traced, or gives something else
than called, is called back itself, as a node without a derivative. The invariants: no rule is
believed (`check` judges by differences where there is one); and a derivative that needs a rule
that there is not is refused by name.

>>> import math
>>> from difflab.operators import gradient
>>> erf = primitive(math.erf, lambda y, ct, x: ct * 2 / np.sqrt(np.pi) * np.exp(-x * x))
>>> print(gradient(lambda x: erf(2.0 * x))(0.0) == 4.0 / np.sqrt(np.pi))
True
"""

from __future__ import annotations

import functools
import math
import sys
from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np

from difflab.errors import (
    ArgumentError,
    DifflabError,
    ShapeError,
    TraceError,
    UnsupportedError,
)
from difflab.ir.build import as_dtype, lift
from difflab.ir.expr import Expr, Graph, placeholder, reachable, substitute
from difflab.ir.own import Call, Which, own
from difflab.ir.row import Pair, Primitive, Unsupported
from difflab.ir.tree import LEAF, Signature, Spec
from difflab.readings.batches import batch
from difflab.readings.cotangents import pullback as pulled_back
from difflab.readings.tangents import zeros
from difflab.tracing.arrays import Array, argument, contents, holds_traced, wrapped
from difflab.tracing.called import need_function
from difflab.tracing.held import hold, moved
from difflab.tracing.names.copies import Copies
from difflab.tracing.trace import Trace, in_progress, outside, value_here

_OTHER: Final[dict[Which, Which]] = {"pullback": "pushforward", "pushforward": "pullback"}
_DTYPES: Final = ("float64", "float32", "int64", "bool")


def primitive(
    f: Callable[..., Any] | None = None,
    pullback: Callable[..., Any] | None = None,
    pushforward: Callable[..., Any] | None = None,
    ball: Callable[..., Any] | None = None,
    sympy: Callable[..., Any] | None = None,
) -> Any:
    """A function with a rule of its own: one node in every graph, which calls it back.

    Parameters
    ----------
    f
        Takes arrays and numbers by position, and anything that is hashable by position or by name;
        returns one array or number, of the same shape wherever its arguments have the same shapes.
        Left out, this is a decorator.
    pullback
        ``pullback(y, ct, *x, **options)``: from f's result and the cotangent of it (of its shape)
        to a tuple of the arguments' cotangents (of their shapes); None for what is no array of
        floats. Of one argument the cotangent alone.
    pushforward
        ``pushforward(y, tangents, *x, **options)``: from a tuple of the arguments' tangents (None
        for what is no array of floats) to the tangent of the result. Each rule is enough where it
        is NumPy text, because it is transposed for the other mode.
    ball
        ``ball(*x, **options)``: the result on arrays of python-flint's balls. With it, `truth`
        believes the rules; `check` never does.
    sympy
        ``sympy(module, *x, **options)``: the result on SymPy expressions.

    Returns
    -------
    Callable
        It calls f on plain arrays, and is one node on traced ones.

    Raises
    ------
    UnsupportedError
        When a derivative is taken for which there is no rule. A rule that is not NumPy text is
        called back, so that it has no derivative: give one that is itself a primitive.

    Examples
    --------
    >>> import difflab
    >>> def exponents(x):  # of log(1 + exp(x)), by C, a solver, another library
    ...     return np.array([np.log1p(np.exp(x)) for x in x.tolist()])
    >>> soft = difflab.primitive(exponents, lambda y, ct, x: ct / (1.0 + np.exp(-x)))
    >>> difflab.gradient(lambda x: np.sum(soft(x)))(np.zeros(2))
    array([0.5, 0.5])
    >>> print(difflab.check(lambda x: np.sum(soft(x)), np.zeros(2)).verdict)
    correct
    """
    if f is None:
        return functools.partial(
            primitive, pullback=pullback, pushforward=pushforward, ball=ball, sympy=sympy
        )
    for given in (f, pullback, pushforward, ball, sympy):
        if given is not None:
            need_function(given)
    if in_progress():
        raise TraceError(
            "difflab.primitive was called inside of a function that is being traced",
            "make the primitive once, outside, and pass what it reads as arguments",
        )
    return Own(f, pullback, pushforward, ball, sympy)


class Own:
    """A primitive of one's own."""

    def __init__(
        self,
        f: Callable[..., Any],
        pullback: Callable[..., Any] | None = None,
        pushforward: Callable[..., Any] | None = None,
        ball: Any = None,
        sympy: Any = None,
        source: tuple[Own, Which] | None = None,
    ) -> None:
        functools.update_wrapper(self, f, updated=())
        name = str(getattr(f, "__name__", type(f).__name__)).strip("<>")
        if source is not None:
            name = f"{source[0].row.name}_{source[1]}"
        self.f, self.source = f, source
        self.rules: dict[Which, Any] = {"pullback": pullback, "pushforward": pushforward}
        self.ball, self.sympy = ball, sympy
        self.called: dict[Which, Own] = {}
        """The rules that are called back, as primitives of their own."""
        self.row: Primitive = own(
            self.evaluate,
            Pair(self._pushed, self._pulled),
            name=name,
            ball=self._ball if ball else Unsupported("it was given no ball="),
            sympy=self._sympy if sympy else Unsupported("it was given no sympy="),
        )

    def __repr__(self) -> str:
        return f"<difflab.primitive {self.row.name[:60]}>"

    def __reduce__(self) -> Any:
        if self.source is not None:
            return Own.back, self.source
        found: Any = sys.modules.get(self.__module__)
        for part in getattr(self, "__qualname__", "<").split("."):
            found = getattr(found, part, None)
        if found is self:  # a decorated function
            return self.__qualname__
        return primitive, (self.f, *self.rules.values(), self.ball, self.sympy)

    def __copy__(self) -> Own:
        return self

    def __deepcopy__(self, memo: Any) -> Own:
        return self

    @property
    def __differentiates__(self) -> tuple[Any, ...]:
        """What a watch looks at: rules that are written into graphs; the others are called."""
        return tuple([rule for which, rule in self.rules.items() if which not in self.called])

    # -- calls ------------------------------------------------------------------------------------

    def __call__(self, *args: Any, **options: Any) -> Any:
        if not (holds_traced(args) or holds_traced(options)):
            with outside():
                found = self.f(*args, **options)
            return wrapped(found) if in_progress() else found
        if holds_traced([*options.values()]):
            name = next(name for name, value in options.items() if holds_traced([value]))
            raise self._refused(f"{name}= is an array", "pass arrays by position")
        operands: list[Any] = []
        static: list[tuple[int, Any]] = []
        for k, x in enumerate(args):
            x = x.content if type(x) is Array else x
            if type(x) is Expr or isinstance(x, (np.ndarray, np.generic, float)):
                operands.append(x)
            else:
                static.append((k, x))
        named = tuple(sorted(options.items()))
        try:
            hash((tuple(static), named))
        except TypeError as error:
            raise self._refused(str(error), "pass arrays, numbers and hashable options") from None
        nodes = [lift(x) for x in operands]
        moving = tuple([x.differentiable for x in nodes])
        point = [np.array(value_here(x)) for x in nodes]
        call = Call((), nodes[0].dtype, moving, tuple(static), named, repr((static, named)))
        y = self._result(point, call)
        call = Call(y.shape, y.dtype, moving, call.static, named, call.told, (), (y, *point))
        return wrapped(Expr(self.row, tuple(nodes), (("call", call),)))

    def evaluate(self, *x: Any, call: Call) -> Any:
        """The function's results, for each entry of a batch."""
        at = np.ndindex(call.batches)
        found = [self._called([part[i] for part in x], call.single) for i in at]
        return np.array(found, call.dtype).reshape(call.shape)[()]

    def _called(self, x: Sequence[Any], call: Call) -> Any:
        y = self._result(x, call)
        if (y.shape, y.dtype) != (call.shape, call.dtype):
            raise ShapeError(
                f"{self.row.name} returned {y.dtype} of shape {y.shape}, and {call.dtype} of shape"
                f" {call.shape} where it was traced",
                "return the same shape and dtype wherever the arguments have the same shapes",
            )
        return y

    def _result(self, x: Sequence[Any], call: Call) -> Any:
        """A copy of what the function returns for copies: it may keep its memory, or write."""
        given = call.arguments([np.array(part)[()] for part in x])
        with outside():
            found = self.f(*given, **dict(call.options))
        if isinstance(found, (tuple, list, dict)) or found is None:
            what = f"it returned a {type(found).__name__}"
            raise self._refused(what, "return one array or number: join several in one array")
        y = np.array(found)
        if y.dtype.name not in _DTYPES:
            what = f"it returned numbers of dtype {y.dtype}"
            raise self._refused(what, "return float64, float32, int64 or bool")
        return y

    def _refused(self, what: str, remedy: str) -> DifflabError:
        return UnsupportedError(f"{self.row.name} cannot be called here: {what}", remedy)

    def _ball(self, *x: Any, call: Call) -> Any:
        return self._read(self.ball, x, call, "ball")

    def _sympy(self, module: Any, *x: Any, call: Call) -> Any:
        return self._read(functools.partial(self.sympy, module), x, call, "sympy")

    def _read(self, rule: Any, x: Sequence[Any], call: Call, reading: str) -> Any:
        """Another reading, on arrays of objects."""
        if call.batches:
            raise self._refused(f"{reading}= reads no batches", "call it once for each entry")
        found = np.asarray(rule(*call.arguments([part[()] for part in x]), **dict(call.options)))
        if found.shape != call.shape:
            what = f"{reading}= returned shape {found.shape}, not {call.shape}"
            raise self._refused(what, "return what the function returns")
        return found

    # -- rules ------------------------------------------------------------------------------------

    def _pulled(self, y: Expr, ct: Expr, *x: Expr, call: Call) -> list[Expr | None]:
        found = iter(self._applied("pullback", (y, ct), x, call))
        return [next(found) if moves else None for moves in call.moving]

    def _pushed(
        self, y: Expr, tangents: Sequence[Expr | None], *x: Expr, call: Call
    ) -> Expr | None:
        moving = zip(x, tangents, call.moving, strict=True)
        given = [zeros(x) if t is None else t for x, t, moves in moving if moves]
        return self._applied("pushforward", (y, *given), x, call)[0]

    def _applied(
        self, which: Which, first: Sequence[Expr], x: Sequence[Expr], call: Call
    ) -> list[Expr]:
        """A rule on nodes: its text, or a node that calls it."""
        graph, other = self._text(which, call), _OTHER[which]
        if graph is not None:
            for size in reversed(call.batches):
                graph = batch(graph, size, [True] * len(graph.inputs))
            return substitute(graph.outputs, dict(zip(graph.inputs, (*first, *x), strict=True)))
        if self.rules[which] is not None:
            return self.back(which).on(first, x, call)
        name = self.row.name
        if self.source is not None:
            raise UnsupportedError(
                f"{name} is called, not traced, so that it has no derivative",
                "write the rule in NumPy, or give it as a difflab.primitive with its own pullback",
            )
        if self.rules[other] is None:
            raise UnsupportedError(
                f"{name} has no derivative: it was given no rule", "give pullback="
            )
        if which == "pushforward" and call.single.shape in ((), (1,)):
            y, *tangents = first
            parts = self.back(other).on([y, zeros(y) + lift(1.0)], x, call)
            depth = len(call.batches)
            total: Any = sum(
                np.sum(part * t, axis=tuple(range(depth, part.ndim)))
                for part, t in zip(parts, tangents, strict=True)
            )
            return [as_dtype(np.reshape(total, y.shape), y.dtype)]
        mode = "reverse" if which == "pushforward" else "forward"
        raise UnsupportedError(
            f"{name} was given no {which}, and its {other} is called, not traced, so that it has no"
            " transpose",
            f"give {which}=, or use {mode} mode",
        )

    def _text(self, which: Which, call: Call) -> Graph | None:
        """The graph of a rule, from f's result, what is moved and the operands; None where it
        cannot be traced.
        """
        if self.rules[which] is not None:
            return self._traced(which, call.single)
        other = _OTHER[which]
        graph = None if self.rules[other] is None else self._traced(other, call.single)
        if graph is None:
            return None
        y, *seeds = graph.inputs[: len(graph.inputs) - len(call.moving)]
        new = [placeholder(out.shape, out.dtype, "moved") for out in graph.outputs]
        found = pulled_back(graph.outputs, new, seeds)
        spelt = [zeros(x) if part is None else part for part, x in zip(found, seeds, strict=True)]
        if not set(seeds).isdisjoint(reachable(spelt)):
            raise UnsupportedError(
                f"the {other} of {self.row.name} is not linear in what it moves",
                f"correct it, or give {which}=",
            )
        return Graph((y, *new, *graph.inputs[1 + len(seeds) :]), tuple(spelt))

    def _traced(self, which: Which, call: Call) -> Graph | None:
        """The graph of a rule that was given, held against the rule."""
        if which in self.called or call.point is None:
            return None
        y, *x = call.point
        seeds = (
            [y] if which == "pullback" else [v for v, m in zip(x, call.moving, strict=True) if m]
        )
        seeds = [np.array(np.cos(np.arange(v.size)).reshape(v.shape), v.dtype) for v in seeds]
        specs = [Spec(v.shape, v.dtype) for v in (y, *seeds, *x)]
        inputs = tuple([placeholder(spec.shape, spec.dtype, which) for spec in specs])
        with outside():
            for deep in (False, True):
                graph = self._run(Copies(deep), which, inputs, (y, *seeds, *x), call)
                if graph is not None and self._holds(graph, which, (*seeds, *x), specs, call):
                    return graph
        self.back(which)
        return None

    def _run(
        self, copies: Copies, which: Which, inputs: Any, point: Sequence[Any], call: Call
    ) -> Graph | None:
        rule = copies.of(self.rules[which])
        with Trace(inputs, point) as current:
            try:
                found = rule(*call.arranged(which, [*map(argument, inputs)]), **dict(call.options))
            except Exception:  # whatever C code does with a traced value
                return None
            if current.guards or current.events.refused:
                return None
            several = isinstance(found, (tuple, list)) and which == "pullback"
            found = [contents(x, []) for x in found] if several else contents(found, [])
            targets = call.targets(which, inputs)
            parts = self._parts(which, found, targets, call)
            outputs = [
                zeros(x) if part is None else as_dtype(lift(part), x.dtype)
                for part, x in zip(parts, targets, strict=True)
            ]
        return Graph(inputs, tuple(outputs))

    def _holds(
        self, graph: Graph, which: Which, rest: Any, specs: Sequence[Spec], call: Call
    ) -> bool:
        """Whether the graph gives what the rule does when it is called, here and nearby."""
        seeds = len(rest) - len(call.moving)
        here = [np.array(part) for part in rest]
        signature = Signature(LEAF, tuple(specs[1:]))
        for k, values in enumerate((here, moved(signature, here) or here)):
            try:
                with np.errstate(all="ignore"):
                    values = [self._called(values[seeds:], call), *values]
                    leaves = self.arrays(which, values, call)
            except Exception:
                if k == 0:
                    return False
                continue  # nearby it may be outside its domain
            try:
                hold(graph, values, leaves, LEAF)
            except TraceError:
                return False
        return True

    def _parts(self, which: Which, found: Any, targets: Sequence[Any], call: Call) -> list[Any]:
        """What a rule returned for each array that moves."""
        parts = [found]
        what = f"the {which} of {self.row.name}"
        if which == "pullback":
            count = len(call.moving) + len(call.static)
            several = isinstance(found, (tuple, list))
            parts = list(found) if several else [found]
            if len(parts) != count:
                returned = f"{len(parts)} parts" if several else f"one {type(found).__name__}"
                raise ArgumentError(
                    f"{what} returned {returned} for {count} arguments",
                    "return a tuple of one cotangent an argument, None for what is no float array",
                )
            for position, _ in reversed(call.static):
                del parts[position]
            parts = [part for part, moves in zip(parts, call.moving, strict=True) if moves]
        for k, (part, target) in enumerate(zip(parts, targets, strict=True)):
            shape = np.shape(target) if part is None else np.shape(part)
            if shape != target.shape:
                of = "" if which == "pushforward" else f" as cotangent {k}"
                raise ShapeError(
                    f"{what} returned shape {shape}{of}, where {target.shape} is moved",
                    "return arrays of the arguments' shapes" if of else "return f's shape",
                )
        return parts

    def arrays(self, which: Which, values: Sequence[Any], call: Call) -> list[Any]:
        """What a rule returns, called with arrays."""
        given = call.arranged(which, [np.array(value)[()] for value in values])
        targets = call.targets(which, values)
        with outside():
            found = self.rules[which](*given, **dict(call.options))
        return [
            np.zeros(x.shape, x.dtype) if part is None else np.asarray(part).astype(x.dtype)
            for part, x in zip(self._parts(which, found, targets, call), targets, strict=True)
        ]

    def back(self, which: Which) -> Own:
        """A rule that is called back: the primitive that gives its parts in one vector."""
        if which not in self.called:
            made = Own(functools.partial(_packed, self, which), source=(self, which))
            self.called.setdefault(which, made)
        return self.called[which]

    def on(self, first: Sequence[Expr], x: Sequence[Expr], call: Call) -> list[Expr]:
        """This rule, called back, on nodes."""
        assert self.source is not None
        operands, depth = (*first, *x), len(call.batches)
        targets = call.targets(self.source[1], operands)
        shapes = [target.shape[depth:] for target in targets]
        ends = np.cumsum([math.prod(shape) for shape in shapes]).tolist()
        dtype = np.result_type(*[target.dtype for target in targets])
        moving = tuple([node.differentiable for node in operands])
        made = Call((ends[-1],), dtype, moving, ((0, call.single),), (), call.told)
        for size in reversed(call.batches):
            made = made.batched(size)
        packed: Any = Expr(self.row, operands, (("call", made),))
        return [
            as_dtype(np.reshape(packed[..., start:end], target.shape), target.dtype)
            for start, end, target in zip([0, *ends], ends, targets, strict=False)
        ]


def _packed(primitive: Own, which: Which, call: Call, *values: Any) -> Any:
    """What a rule returns, in one vector."""
    return np.concatenate([np.ravel(part) for part in primitive.arrays(which, values, call)])
