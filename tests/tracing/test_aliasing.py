"""Random programs of arrays that share memory are what they are in plain NumPy, and the judge that
says so notices planted faults.
"""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable
from typing import Any, Final

import numpy as np
import pytest

import difflab
from difflab.errors import UnsupportedError

from .aliasing import WRONG, Program, Verdict, by_message, judge, program, shrunk, told, verdicts

NIGHTLY: Final = os.environ.get("DIFFLAB_PROFILE") == "nightly"
PROGRAMS: Final = 10_000 if NIGHTLY else 300
CHUNK: Final = PROGRAMS // 10
MOST_REFUSED: Final = 0.1
"""The share of programs that may be refused, and half of it for one and the same reason."""


@functools.cache
def _judged(chunk: int) -> list[tuple[Program, Verdict]]:
    return list(verdicts(range(chunk * CHUNK, (chunk + 1) * CHUNK)))


@pytest.mark.parametrize("chunk", range(10))
def test_programs_are_what_they_are_in_plain_numpy(chunk: int) -> None:
    wrong = [(given, verdict) for given, verdict in _judged(chunk) if verdict.kind in WRONG]
    shown = "\n".join(told(*each) for each in wrong[:5])
    assert not wrong, f"{len(wrong)} of {CHUNK} programs\n{shown}"


@pytest.mark.parametrize("chunk", range(10))
def test_few_programs_are_refused(chunk: int) -> None:
    details = [verdict.detail for _, verdict in _judged(chunk) if verdict.kind == "refused"]
    reasons = Counter(map(by_message, details)).most_common()
    assert len(details) <= MOST_REFUSED * CHUNK, reasons
    assert all(count <= max(1.0, MOST_REFUSED / 2.0 * CHUNK) for _, count in reasons), reasons


@pytest.mark.parametrize("chunk", range(10))
def test_few_programs_are_undecided(chunk: int) -> None:
    kinds = Counter(verdict.kind for _, verdict in _judged(chunk))
    assert kinds["undecided"] <= 0.1 * CHUNK, kinds


def test_the_programs_reach_everything() -> None:
    sources = "\n".join("\n".join(program(seed).statements) for seed in range(300))
    for text in (
        "out=", "where=", ".at(", "copyto", "place(", "putmask", "put_along_axis", "fill_diagonal",
        ".sort(", ".fill(", ".put(", ".partition(", ".flat[", "+=", "-=", "*=", "/=", "**=",
        "[::-1]",
        "np.newaxis", "...", "np.ix_", "for ", "if ", "except", "Box()", "scale(", "shift(",
        "sliding_window_view", "broadcast_to", "np.zeros(", "np.array([", "int(np.argmax", "C[",
    ):  # fmt: skip
        assert text in sources, text


# The judge, judged --------------------------------------------------------------------------------


def _by_differences(f: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
    """The value of the plain function, and its slopes by `estimate`, which only calls it."""

    def both(*args: Any) -> tuple[Any, Any]:
        def called(*moved: Any) -> float:
            return float(f(*map(np.copy, moved)))

        return called(*args), difflab.estimate(called, *args, argnums=argnums).value

    return both


def test_the_judge_takes_what_is_right() -> None:
    kinds = Counter(judge(program(seed), _by_differences).kind for seed in range(20))
    assert set(kinds) <= {"right", "raises", "undecided"}, kinds
    assert kinds["right"] > 15, kinds


def _hand_made(*statements: str, names: tuple[str, ...] = ("x", "a", "b")) -> Program:
    points = ((np.array([0.3, -1.2, 0.8]),), (np.array([-0.4, 1.1, 1.7]),))
    return Program("made by hand", ("x",), statements, names, points)


SHARED = _hand_made("a = x * 2.0", "b = a[1:]", "c = a * a", "b[0] = x[0] ** 2", "c += 1.0")


def _loses_aliasing(f: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
    """As if ``a[1:]`` were a copy."""
    copied = tuple(line.replace("a[1:]", "a[1:].copy()") for line in SHARED.statements)
    alone = Program("copies", ("x",), copied, SHARED.names, SHARED.points)
    return _by_differences(alone.module()["f"], argnums)


def _loses_a_slope(f: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
    """As if what is assigned were constant in one component."""
    both = _by_differences(f, argnums)

    def wrong(*args: Any) -> Any:
        value, gradients = both(*args)
        gradients[0][1] *= 1.0 + 1e-5
        return value, gradients

    return wrong


def _writes_to_its_argument(f: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
    both = _by_differences(f, argnums)

    def wrong(*args: Any) -> Any:
        found = both(*args)
        args[0][0] += 1.0
        return found

    return wrong


def _writes_to_a_capture(f: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
    def wrong(*args: Any) -> Any:
        f.__globals__["C"][1] = 7.0
        return _by_differences(f, argnums)(*args)

    return wrong


def _raises_something_else(f: Callable[..., Any], argnums: tuple[int, ...]) -> Callable[..., Any]:
    def wrong(*args: Any) -> Any:
        raise KeyError("none of NumPy's")

    return wrong


def _is_wrong_in_its_kept_program(f: Any, argnums: tuple[int, ...]) -> Callable[..., Any]:
    """Right at the first point only."""
    both, kept = _by_differences(f, argnums), []

    def wrong(*args: Any) -> Any:
        kept.append(both(*args))
        return kept[0]

    return wrong


@pytest.mark.parametrize(
    ("operator", "kind"),
    [
        (_loses_aliasing, "wrong value"),
        (_loses_a_slope, "wrong gradient"),
        (_writes_to_its_argument, "changed"),
        (_writes_to_a_capture, "changed"),
        (_raises_something_else, "exception"),
        (_is_wrong_in_its_kept_program, "wrong value"),
    ],
)
def test_planted_faults_are_noticed(operator: Any, kind: str) -> None:
    assert judge(SHARED, _by_differences).kind == "right"
    assert judge(SHARED, operator).kind == kind


def test_exceptions_are_compared_by_type() -> None:
    raising = _hand_made("a = x * 2.0", "b = a[7]")
    assert judge(raising, _by_differences) == Verdict("raises", "IndexError")
    assert judge(raising, _raises_something_else).kind == "exception"


def test_refusals_are_no_failures() -> None:
    def refuses(f: Any, argnums: Any) -> Any:
        def wrong(*args: Any) -> Any:
            raise UnsupportedError("not yet")

        return wrong

    assert judge(SHARED, refuses) == Verdict("refused", "at point 0: not yet")


def test_failures_are_shrunk() -> None:
    small = shrunk(SHARED, "wrong value", _loses_aliasing)
    assert "c = a * a" not in small.statements
    text = told(SHARED, judge(SHARED, _loses_a_slope), _loses_a_slope)
    assert text.startswith("wrong gradient (program made by hand)")
    assert len(text.splitlines()) == 7, text
