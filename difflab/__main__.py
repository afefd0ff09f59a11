"""The command line, ``difflab COMMAND``: compare, check, explain, run and two lists."""

from __future__ import annotations

import argparse
import csv
import importlib
import inspect
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TextIO

from difflab import __version__
from difflab.errors import ArgumentError, DifflabError, require
from difflab.ir.row import TABLE, Pair, Partials, Primitive, Transpose, Transposes, Unsupported
from difflab.methods import METHODS

EXAMPLES = """examples:
  difflab compare "log(x1) + x1*x2 - sin(x2)" x1=2 x2=5
  difflab compare "sum(tanh(w))" "w=[1, 20]" --methods reverse symbolic
  difflab check model:loss --at "[1.0, 2.0]" --gradient model:gradient
  difflab explain "sin(x)/x" x=1e-6 --html out.html
  difflab primitives tanh sigmoid
  difflab run --quick
"""
READINGS = (
    "numbers",
    "plain floats",
    "balls",
    "symbols",
    "complex",
    "tangents",
    "cotangents",
    "batches",
)
DERIVATIVES = {Partials: "partials", Transpose: "transpose", Transposes: "transposes", Pair: "pair"}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 after a failed case, or 2 for a wrong call."""
    parser = _parser()
    options = parser.parse_args(arguments)
    try:
        return int(options.run(options))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except DifflabError as error:
        print(f"error: {error.what}", file=sys.stderr)
        if error.remedy:
            print(f"  remedy: {error.remedy}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="difflab",
        description="Compare the three ways to differentiate a program.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"difflab {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compare = commands.add_parser(
        "compare", help="differentiate a formula by every method, and hold each against the truth"
    )
    compare.add_argument("formula", help="arithmetic and NumPy's functions, such as 'log(x) * y'")
    compare.add_argument(
        "values", nargs="+", metavar="NAME=VALUE", help="the point: x=2 or w=[1,2,3]"
    )
    compare.add_argument(
        "--methods", nargs="+", metavar="METHOD", help="which methods (default: all)"
    )
    compare.add_argument("--csv", metavar="FILE", help="also write the table")
    compare.add_argument("--plot", metavar="FILE", help="also draw error and time (.png or .svg)")
    compare.set_defaults(run=_compare)

    check = commands.add_parser(
        "check",
        help="is this gradient right? (exit code 1 if not)",
        description="Judge a gradient at a point: correct, rounding, wrong, kink or undecided.",
    )
    check.add_argument("function", metavar="MODULE:FUNCTION", help="such as model:loss")
    check.add_argument(
        "--at", action="append", required=True, metavar="VALUE",
        help="an argument: 2.0, '[1.0, 2.0]' or \"{'W': [[1, 2]], 'b': [0]}\"; one --at each",
    )  # fmt: skip
    check.add_argument(
        "--gradient", metavar="MODULE:FUNCTION", help="what to check (default: difflab's own modes)"
    )
    check.add_argument("--order", type=int, choices=(1, 2), default=1, help="2: a Hessian")
    check.add_argument("--csv", metavar="FILE", help="also write the table, a row a component")
    check.set_defaults(run=_check)

    explain = commands.add_parser(
        "explain", help="where a formula or its derivative loses digits, and what to write instead"
    )
    explain.add_argument("formula", help="as for compare, or MODULE:FUNCTION")
    explain.add_argument("values", nargs="+", metavar="NAME=VALUE", help="the point: x=2 w=[1,2]")
    explain.add_argument("--html", metavar="FILE", help="write a page to step through, by keyboard")
    explain.add_argument("--graph", metavar="FILE", help="draw the graph (.svg or .png)")
    explain.add_argument("--csv", metavar="FILE", help="also write the table, a row a node")
    explain.set_defaults(run=_explain)

    methods = commands.add_parser("methods", help="list the methods")
    methods.set_defaults(run=_methods)

    primitives = commands.add_parser(
        "primitives", help="the capability table: what each primitive can be read as, and why not"
    )
    primitives.add_argument("names", nargs="*", metavar="NAME", help="only these rows")
    primitives.add_argument(
        "--csv", metavar="FILE", help="write the table, reasons inside the cells ('-': here)"
    )
    primitives.set_defaults(run=_primitives)

    from difflab.lab.command import EPILOG, options_parser

    run = commands.add_parser(
        "run", parents=[options_parser()], help="run experiments and render their reports",
        description="Run experiments, and render their reports and the front page.",
        epilog=EPILOG.replace("COMMAND", "difflab run"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    run.add_argument("names", nargs="*", metavar="NAME", help="which experiments (default: all)")
    run.set_defaults(run=_run)
    return parser


def _compare(options: argparse.Namespace) -> int:
    from difflab.accuracy.compare import compare
    from difflab.accuracy.formula import assignment, formula

    point = dict(assignment(value) for value in options.values)
    if len(point) < len(options.values):
        raise ArgumentError("a parameter has two values", "give each name once")
    comparison = compare(
        formula(options.formula, list(point)), *point.values(), methods=options.methods
    )
    print(comparison)
    if options.csv:
        comparison.table.to_csv(options.csv, index=False)
    if options.plot:
        comparison.plot().savefig(options.plot, dpi=150)
    return 0


def _check(options: argparse.Namespace) -> int:
    from difflab.accuracy.check import check
    from difflab.accuracy.formula import number

    gradient = _named(options.gradient) if options.gradient else None
    point = [number(text) for text in options.at]
    found = check(_named(options.function), *point, gradient=gradient, order=options.order)
    print(found)
    if options.csv:
        found.table.to_csv(options.csv, index=False)
    return 0 if found.ok else 1


def _explain(options: argparse.Namespace) -> int:
    from difflab.accuracy.explain import explain
    from difflab.accuracy.formula import assignment, formula

    point = dict(assignment(value) for value in options.values)
    if ":" in options.formula:  # which no formula has
        f = _named(options.formula)
        try:
            values = inspect.signature(f).bind(**point).args
        except TypeError as error:
            names = ", ".join(inspect.signature(f).parameters)
            raise ArgumentError(
                f"{options.formula}: {error}", f"its parameters are {names}"
            ) from None
    else:
        f, values = formula(options.formula, list(point)), tuple(point.values())
    explanation = explain(f, *values)
    print(explanation)
    for file in (options.html, options.graph):
        if file:
            explanation.save(file)
    if options.csv:
        explanation.table.to_csv(options.csv, index=False)
    return 0


def _named(text: str) -> Callable[..., Any]:
    """The function of ``module:function``; the module is looked for here first, as by python -m.

    A path such as ``models/loss.py:loss`` works as well.
    """
    module_name, colon, name = text.rpartition(":")
    remedy = "write it as module:function, such as model:loss"
    if not colon or not module_name or not name:
        raise ArgumentError(f"{text!r} does not name a function", remedy)
    here = os.getcwd()
    if here not in sys.path:
        sys.path.insert(0, here)
    if module_name.endswith(".py"):
        path = Path(module_name)
        sys.path.insert(0, str(path.resolve().parent))
        module_name = path.stem
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise ArgumentError(
            f"there is no module {error.name!r} here or installed", remedy
        ) from None
    found = getattr(module, name, None)
    if not callable(found):
        raise ArgumentError(f"{module_name} has no function {name!r}", remedy)
    function: Callable[..., Any] = found
    return function


def _methods(options: argparse.Namespace) -> int:
    for name, method in METHODS.items():
        summary = (type(method).__doc__ or "").strip().splitlines()[0]
        settings = getattr(method, "stencil", "")
        print(f"{name:21} {summary}{f' Stencil: {settings}.' if settings else ''}")
    return 0


def capabilities(row: Primitive) -> dict[str, str]:
    """What a row can be read as: for each reading ``yes``, or the reason why not.

    >>> capabilities(TABLE["floor"])["complex"]
    'not holomorphic, so a complex step does not see its derivative'
    """

    def cell(value: object) -> str:
        return value.reason if isinstance(value, Unsupported) else "yes"

    return {
        "numbers": "yes",
        "plain floats": cell(row.scalar),
        "balls": cell(row.ball),
        "symbols": cell(row.sympy),
        "complex": cell(row.complex),
        "tangents": cell(row.derivative),
        "cotangents": cell(row.derivative),
        "batches": cell(row.batch),
    }


def _primitives(options: argparse.Namespace) -> int:
    from difflab.errors import UnknownNameError

    for name in options.names:
        if name not in TABLE:
            raise UnknownNameError("primitive", name, TABLE)
    rows = [TABLE[name] for name in options.names or TABLE]
    if options.csv:
        if options.csv == "-":
            _write(rows, sys.stdout)
        else:
            with open(options.csv, "w", newline="", encoding="utf-8") as file:
                _write(rows, file)
        return 0
    reasons: dict[str, int] = {}
    print(f"{'primitive':16} {'kind':14} {'derivative':11} " + " ".join(READINGS))
    for row in rows:
        marks = []
        for reading, text in capabilities(row).items():
            mark = "yes" if text == "yes" else f"[{reasons.setdefault(text, len(reasons) + 1)}]"
            marks.append(f"{mark:{len(reading)}}")
        rule = DERIVATIVES.get(type(row.derivative), "-")
        print(f"{row.name:16} {row.kind:14} {rule:11} " + " ".join(marks).rstrip())
    for text, number in reasons.items():
        print(f"[{number}] {text}")
    return 0


def _write(rows: Sequence[Primitive], file: TextIO) -> None:
    writer: Any = csv.writer(file)
    writer.writerow(["primitive", "kind", "derivative", *READINGS])
    for row in rows:
        rule = DERIVATIVES.get(type(row.derivative), "-")
        writer.writerow([row.name, row.kind, rule, *capabilities(row).values()])


def _run(options: argparse.Namespace) -> int:
    from difflab.lab import Options, run_all

    require("lab")
    return run_all(options.names, Options.of(options))


if __name__ == "__main__":
    sys.exit(main())
