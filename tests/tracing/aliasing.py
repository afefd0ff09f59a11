"""Random programs of arrays that share memory, and the judge that holds them against plain NumPy.

What flows: a seed becomes the source of a function, statement by statement, each kept only if plain
NumPy takes it and all stays finite and of moderate size; some are kept because they raise. At its
end the function adds up all its names, each element with a weight of its own, so that a value that
stands in the wrong place shows. The judge compares values at two points (the second through the
kept program), slopes along a random direction with `estimate`'s band by calls of the plain
function, the type of an exception, and what the caller and the module still hold.

Run ``python -m tests.tracing.aliasing --programs 500 --seed 0`` for a tally, and the shortest
program of each kind of failure.
"""

from __future__ import annotations

import argparse
import linecache
import re
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from types import CodeType, SimpleNamespace
from typing import Any, Final

import numpy as np

import difflab
from difflab.errors import Refusal

from .statements import Writer

Operator = Callable[[Callable[..., Any], tuple[int, ...]], Callable[..., Any]]
"""As `value_and_gradient`: of a function and its argument numbers."""


def by_default(f: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
    """The operator that is judged."""
    return difflab.value_and_gradient(f, argnums=argnums)


LARGEST: Final = 1e3
WRONG: Final = ("wrong value", "wrong gradient", "exception", "changed")
PREAMBLE: Final = '''\
import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

C = np.array([0.5, -1.25, 2.0, 0.75])
D = np.array([[1.5, -0.5, 0.25], [-1.0, 0.8, 2.2]])


class Box:
    """Something with attributes."""


def weighed(a, k):
    """A number that knows where everything stands."""
    weights = np.cos(1.3 * np.arange(np.size(a)) + k).reshape(np.shape(a))
    return np.sum(np.sin(1.0 * a) * weights)


def scale(a, by):
    a *= by


def shift(a):
    a[1:] = a[:-1]
    return a


def negate_first(a):
    a[0] = -a[0]
    return a[::-1]


def clamp(a, low, high):
    a[a < low] = low
    a[a > high] = high


'''


@dataclass(frozen=True)
class Program:
    """A function of one or two arrays, as statements, and two points."""

    name: str
    arguments: tuple[str, ...]
    statements: tuple[str, ...]
    names: tuple[str, ...]
    points: tuple[tuple[Any, ...], ...]

    @property
    def source(self) -> str:
        """The text of a module that holds the function f."""
        body = "\n".join(self.statements)
        terms = [f"weighed({name}, {0.4 + 1.1 * k:.1f})" for k, name in enumerate(self.names)]
        body = f"{body}\nreturn {' + '.join(terms)}"
        lines = "\n".join(f"    {line}" for line in body.splitlines())
        return f"{PREAMBLE}def f({', '.join(self.arguments)}):\n{lines}\n"

    def module(self) -> dict[str, Any]:
        """The names of the module, fresh; errors show its lines."""
        file = f"<aliasing {self.name}>"
        linecache.cache[file] = (len(self.source), None, self.source.splitlines(True), file)
        namespace: dict[str, Any] = {"__name__": "aliasing_program"}
        exec(compile(self.source, file, "exec"), namespace)
        return namespace


# Writing programs ---------------------------------------------------------------------------------


class _Run:
    """The statements kept so far, run at one point in plain NumPy."""

    def __init__(self, arguments: Sequence[str], point: Sequence[Any]) -> None:
        self.start = dict(zip(arguments, point, strict=True))
        self.kept: list[CodeType] = []
        self.again()

    def again(self) -> None:
        """From the beginning, after a statement that was not kept."""
        self.values: dict[str, Any] = {}
        exec(_PREAMBLE, self.values)
        self.values["np"] = SimpleNamespace(**{**vars(np), "empty": _nan, "empty_like": _nan_like})
        self.values |= {name: np.copy(array) for name, array in self.start.items()}
        self.captured = {name: self.values[name].copy() for name in "CD"}
        for code in self.kept:
            exec(code, self.values)

    def tries(self, code: CodeType) -> Exception | None:
        """What a statement raises, if it raises."""
        try:
            exec(code, self.values)
        except Exception as error:
            return error
        return None

    def is_moderate(self, names: Sequence[str]) -> bool:
        """Whether all names hold numbers of moderate size, and captured arrays are unchanged."""
        for name in names:
            value = np.asarray(self.values[name])
            if value.dtype.kind not in "fiub" or value.size > 60:
                return False
            if not np.all(np.abs(value.astype(float)) < LARGEST):  # which NaN is not
                return False
        return all(np.array_equal(self.values[name], c) for name, c in self.captured.items())


def _nan(*args: Any, **kwargs: Any) -> Any:
    """np.empty, so that what reads what it holds is not finite, and is not kept."""
    return np.full_like(np.empty(*args, **kwargs), np.nan)


def _nan_like(*args: Any, **kwargs: Any) -> Any:
    return np.full_like(np.empty_like(*args, **kwargs), np.nan)


_PREAMBLE = compile(PREAMBLE, "<aliasing>", "exec")


def program(seed: int) -> Program:
    """The random program of a seed."""
    rng = np.random.default_rng(seed)
    shapes = [(4,), (5,), (6,), (2, 3), (3, 2), (3, 3)]
    arguments = ("x", "y") if rng.random() < 0.3 else ("x",)
    sizes = [shapes[rng.integers(len(shapes))] for _ in arguments]
    points = tuple(tuple(rng.uniform(-2.0, 2.0, size) for size in sizes) for _ in range(2))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("error")  # what NumPy warns of is not what people write
        runs = [_Run(arguments, point) for point in points]
        writer = Writer(rng, runs[0].values, list(arguments))
        wanted = int(rng.integers(6, 21))
        kept: list[str] = []
        for _ in range(6 * wanted):
            if len(kept) >= wanted:
                break
            writer.values = runs[0].values
            text, new = writer.statement()
            names = [*dict.fromkeys([*writer.names, *new])]
            code = compile(text, "<aliasing>", "exec")
            errors = [run.tries(code) for run in runs]
            kinds = {type(error) for error in errors}
            taken = kinds == {type(None)} and all(run.is_moderate(names) for run in runs)
            if not taken:
                for run in runs:
                    run.again()
                if len(kinds) > 1 or not kinds <= _RAISED or rng.random() > 0.25:
                    continue
                if rng.random() < 0.4:  # the last word
                    kept.append(text)
                    break
                text = _caught(text, next(iter(kinds)).__name__, arguments[0])
                code, names = compile(text, "<aliasing>", "exec"), writer.names
                if any(run.tries(code) for run in runs):
                    for run in runs:
                        run.again()
                    continue
            kept.append(text)
            writer.names = names
            for run in runs:
                run.kept.append(code)
    return Program(f"{seed}", arguments, tuple(kept), tuple(writer.names), points)


_RAISED = {IndexError, ValueError, TypeError, ZeroDivisionError, AttributeError}


def _caught(text: str, kind: str, name: str) -> str:
    inner = text.replace("\n", "\n    ")
    return f"try:\n    {inner}\nexcept {kind}:\n    {name} = {name} + 0.25"


# Judging ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Verdict:
    """A kind (right, refused, undecided, raises, or one of WRONG) and what was seen."""

    kind: str
    detail: str = ""


def judge(given: Program, operator: Operator = by_default) -> Verdict:
    """What `operator` makes of a program, against plain NumPy."""
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = given.module()
        plain = given.module()["f"]
        captured = {name: module[name].copy() for name in "CD"}
        differentiate = operator(module["f"], tuple(range(len(given.arguments))))
        verdicts = []
        for k, point in enumerate(given.points):
            found = _at(plain, differentiate, point, np.random.default_rng(k))
            if any(not np.array_equal(module[name], c) for name, c in captured.items()):
                found = Verdict("changed", "a captured array")
            if found.kind in (*WRONG, "refused"):
                return replace(found, detail=f"at point {k}: {found.detail}")
            verdicts.append(found)
        return min(verdicts, key=lambda v: ("undecided", "raises", "right").index(v.kind))


def _at(
    plain: Callable[..., Any],
    differentiate: Callable[..., Any],
    point: tuple[Any, ...],
    rng: np.random.Generator,
) -> Verdict:
    def called(*args: Any) -> float:  # opaque: only called, on copies
        return float(plain(*[np.copy(a) for a in args]))

    expected: Any = None
    raised: Exception | None = None
    try:
        expected = called(*point)
    except Exception as error:
        raised = error
    handed = [np.copy(a) for a in point]
    try:
        value, gradients = differentiate(*handed)
    except Refusal as error:
        return Verdict("refused", error.what)
    except Exception as error:
        if raised is not None and isinstance(error, type(raised)):
            return Verdict("raises", type(raised).__name__)
        return Verdict("exception", f"{error!r} for {raised!r}"[:300])
    if any(not np.array_equal(a, b) for a, b in zip(handed, point, strict=True)):
        return Verdict("changed", "an argument")
    if raised is not None:
        return Verdict("exception", f"nothing raised, for {raised!r}")
    if not abs(value - expected) <= 1e-10 * (50.0 + abs(expected)):
        return Verdict("wrong value", f"{value!r} for {expected!r}")
    return _slopes(called, gradients, point, rng)


def _slopes(
    called: Callable[..., float], gradients: Any, point: tuple[Any, ...], rng: np.random.Generator
) -> Verdict:
    """Along a random direction, which every wrong component shows in; then each component."""
    if len(point) == 1 and not isinstance(gradients, tuple):
        gradients = (gradients,)
    ways = [rng.uniform(0.5, 1.5, np.shape(a)) * rng.choice([-1.0, 1.0]) for a in point]
    slope = sum(float(np.sum(g * d)) for g, d in zip(gradients, ways, strict=True))
    size = sum(float(np.sum(np.abs(g * d))) for g, d in zip(gradients, ways, strict=True))
    if not np.isfinite(slope):
        return Verdict("wrong gradient", f"{gradients!r}")

    def along(t: float) -> float:
        try:
            return called(*[a + t * d for a, d in zip(point, ways, strict=True)])
        except Exception:  # another branch, which has no value
            return np.nan

    line = difflab.estimate(along, 0.0)
    if line.kinks or not line.error < 1e-3 * (1.0 + abs(line.value)):
        return Verdict("undecided", "a kink, or a wide band")
    if abs(slope - line.value) <= line.error + 1e-9 * (1.0 + size):
        return Verdict("right")
    parts = difflab.estimate(called, *point, argnums=tuple(range(len(point))))
    for g, value, error in zip(gradients, parts.value, parts.error, strict=True):
        if np.any(np.abs(g - value) > error + 1e-9 * (1.0 + np.abs(value))):
            return Verdict("wrong gradient", f"{g!r} for {value!r}")
    return Verdict("undecided", "the direction differs, its components do not")


# Shrinking and telling ----------------------------------------------------------------------------


def _outcome(given: Program) -> str:
    """What plain NumPy makes of a program: "value", or the type of what it raises."""
    try:
        with np.errstate(all="ignore"), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            given.module()["f"](*map(np.copy, given.points[0]))
    except Exception as error:
        return type(error).__name__
    return "value"


def shrunk(given: Program, kind: str, operator: Operator = by_default) -> Program:
    """The program without what its kind of failure does not need."""
    outcome = _outcome(given)

    def still(candidate: Program) -> bool:
        return _outcome(candidate) == outcome and judge(candidate, operator).kind == kind

    smaller = True
    while smaller:
        smaller = False
        for part in ("statements", "names"):
            k = 0
            while k < len(getattr(given, part)) and len(given.names) > 0:
                lines = getattr(given, part)
                candidate = replace(given, **{part: (*lines[:k], *lines[k + 1 :])})
                if candidate.names and still(candidate):
                    given, smaller = candidate, True
                else:
                    k += 1
    return given


def told(given: Program, verdict: Verdict, operator: Operator = by_default) -> str:
    """A failure as text: its kind, and the shortest program that shows it."""
    small = shrunk(given, verdict.kind, operator)
    detail = judge(small, operator).detail
    body = small.source.removeprefix(PREAMBLE)
    points = "\n".join(f"at {point!r}" for point in small.points)
    return f"{verdict.kind} (program {given.name}): {detail}\n{body}{points}\n"


def verdicts(seeds: Sequence[int]) -> Iterator[tuple[Program, Verdict]]:
    """Each seed's program, judged."""
    for seed in seeds:
        given = program(seed)
        yield given, judge(given)


def by_message(detail: str) -> str:
    """A refusal without numbers and quoted names, to be counted by."""
    return re.sub(r"at point \d+: ", "", re.sub(r"'[^']*'|-?\d+(\.\d+)?", "…", detail))[:100]


def main() -> None:
    """A tally of many programs."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("--programs", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0, help="the first one")
    parser.add_argument("--examples", type=int, default=2, help="shrunk, of each kind and message")
    options = parser.parse_args()
    start = time.perf_counter()
    tally: Counter[tuple[str, str]] = Counter()
    examples: list[str] = []
    for given, verdict in verdicts(range(options.seed, options.seed + options.programs)):
        refused = verdict.kind == "refused"
        key = (verdict.kind, by_message(verdict.detail) if refused else "")
        tally[key] += 1
        if verdict.kind in (*WRONG, "refused") and tally[key] <= options.examples:
            examples.append(told(given, verdict))
    print(*examples, sep="\n")
    for (kind, message), count in tally.most_common():
        print(f"{count:6} {kind} {message}".rstrip())
    print(f"{(time.perf_counter() - start) / options.programs * 1e3:.0f} ms a program")


if __name__ == "__main__":
    main()
