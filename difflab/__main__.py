"""The command line, ``difflab COMMAND``: compare, check, explain, picture, run and two lists."""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Sequence
from typing import Final, NoReturn

from difflab import __version__
from difflab.commands.inputs import gradient_of, need_files, subject
from difflab.commands.outputs import show, tell
from difflab.errors import ArgumentError, DifflabError, UnknownNameError, require
from difflab.ir.row import TABLE, Pair, Partials, Primitive, Transpose, Transposes, Unsupported
from difflab.ir.tree import read_arguments
from difflab.methods import METHODS
from difflab.views.terminal import fitted

EXAMPLES = """examples:
  difflab compare "log(x1) + x1*x2 - sin(x2)" x1=2 x2=5
  difflab compare "sum(tanh(w))" "w=[1, pi]" --methods reverse symbolic
  difflab check "x**3" x=2 --gradient "3*x**2"
  difflab check model:loss --at "[1.0, 2.0]" --gradient model:gradient
  difflab explain "sin(x)/x" x=1e-6 --html out.html
  difflab picture "log(x1) + x1*x2" x1=2 x2=5 --output graph.svg
  difflab primitives tanh sigmoid
  difflab run --quick

--json prints a table as strict JSON: NaN is null, infinities are "Infinity" and "-Infinity".
A wrong call is two lines and exit code 2; DIFFLAB_TRACEBACK=1 adds Python's traceback.
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


INTERRUPTED: Final = 130


class _Parser(argparse.ArgumentParser):
    """Whose errors are errors like any other."""

    def error(self, message: str) -> NoReturn:
        raise ArgumentError(message, f"see {self.prog} --help")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; the exit code is 0, 1 after a failed case, 2 for a wrong call, or 130 after
    Ctrl-C.
    """
    command = "difflab"
    words = [_word(word) for word in (sys.argv[1:] if arguments is None else arguments)]
    parser = _parser()
    if not words:  # a question, not a mistake
        parser.print_help(sys.stderr)
        raise SystemExit(2)
    try:
        options = parser.parse_args(words)
        command = f"difflab {words[0]}"
        need_files(options)
    except DifflabError as error:
        tell(error, command)
        return 2
    try:
        return int(options.run(options))
    except BrokenPipeError:  # the reader, such as head, has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except (Exception, SystemExit) as error:
        tell(error, command)
        return 2


def _word(word: str) -> str:
    """An argument that begins with a minus and is a formula or a number is set apart by a space, so
    that it is not taken for an option.
    """
    is_option = word in ("-", "--", "-h") or re.match("--[a-z][a-z-]+(=|$)", word)
    return f" {word}" if word.startswith("-") and not is_option else word


def _parser() -> argparse.ArgumentParser:
    parser: argparse.ArgumentParser = _Parser(
        prog="difflab",
        description="Compare the three ways to differentiate a program.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"difflab {__version__}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    compare = commands.add_parser(
        "compare", help="differentiate by every method, and hold each against the truth"
    )
    _add_subject(compare)
    compare.add_argument(
        "--methods", nargs="+", metavar="METHOD", help="which methods (default: all)"
    )
    compare.add_argument("--plot", metavar="FILE", help="draw error and time (.png, .svg or .pdf)")
    _add_table(compare)
    compare.set_defaults(run=_compare)

    check = commands.add_parser(
        "check",
        help="is this gradient right? (exit code 1 if not)",
        description="Judge a gradient at a point: correct, rounding, wrong, kink or undecided.",
    )
    _add_subject(check)
    check.add_argument(
        "--at", action="append", metavar="VALUE",
        help="an argument of MODULE:FUNCTION in place of NAME=VALUE, one --at each: 2.0, "
        "'[1.0, 2.0]' or \"{'W': [[1, 2]], 'b': [0]}\"",
    )  # fmt: skip
    check.add_argument(
        "--gradient", metavar="GRADIENT",
        help="what to check: a formula or MODULE:FUNCTION (default: difflab's own modes)",
    )  # fmt: skip
    check.add_argument("--order", type=int, choices=(1, 2), default=1, help="2: a Hessian")
    _add_table(check)
    check.set_defaults(run=_check)

    explain = commands.add_parser(
        "explain", help="where a formula or its derivative loses digits, and what to write instead"
    )
    _add_subject(explain)
    explain.add_argument("--html", metavar="FILE", help="write a page to step through, by keyboard")
    explain.add_argument("--graph", metavar="FILE", help="draw the graph (.svg or .png)")
    _add_table(explain)
    explain.set_defaults(run=_explain)

    picture = commands.add_parser("picture", help="the computation graph, as a drawing or as text")
    _add_subject(picture)
    picture.add_argument(
        "--output", dest="graph", metavar="FILE", help="the drawing: .svg or .png (default: text)"
    )
    picture.set_defaults(run=_picture)

    methods = commands.add_parser("methods", help="list the methods")
    _add_table(methods)
    methods.set_defaults(run=_methods)

    primitives = commands.add_parser(
        "primitives", help="the capability table: what each primitive can be read as, and why not"
    )
    primitives.add_argument("names", nargs="*", metavar="NAME", help="only these rows")
    _add_table(primitives)
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


def _add_subject(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "function", metavar="FORMULA|MODULE:FUNCTION",
        help="arithmetic and NumPy's functions, such as 'log(x) * y'; or a function, such as "
        "model:loss or models/loss.py:loss",
    )  # fmt: skip
    parser.add_argument(
        "values", nargs="*", metavar="NAME=VALUE",
        help="the point: x=2, x=pi/4, w=[1,2,3] or \"w={'W': [[1, 2]], 'b': [0]}\"",
    )  # fmt: skip


def _add_table(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--csv", metavar="FILE", help="also write the table ('-': only, and here)")
    parser.add_argument("--json", action="store_true", help="print JSON in place of text")


def _compare(options: argparse.Namespace) -> int:
    from difflab.accuracy.compare import compare

    f, point = subject(options)
    found = compare(f, *point, methods=options.methods)
    truth = found.enclosure
    facts = {"function": found.name, "truth": truth.midpoint, "verdict": truth.verdict}
    show(options, str(found), found.table.to_dict("records"), facts)
    if options.plot:
        found.plot().savefig(options.plot, dpi=150)
    return 0


def _check(options: argparse.Namespace) -> int:
    from difflab.accuracy.check import check

    f, point = subject(options)
    found = check(f, *point, gradient=gradient_of(options), order=options.order)
    facts = {"function": found.name, "verdict": found.verdict, "ok": found.ok}
    show(
        options, str(found), found.table.to_dict("records"), facts | {"diagnosis": found.diagnosis}
    )
    return 0 if found.ok else 1


def _explain(options: argparse.Namespace) -> int:
    from difflab.accuracy.explain import explain

    f, point = subject(options)
    found = explain(f, *point)
    guilty = found.guilty
    facts = {"function": found.name, "verdict": found.verdict, "guilty": guilty and guilty.name}
    show(options, str(found), found.table.to_dict("records"), facts)
    for file in (options.html, options.graph):
        if file:
            found.save(file)
    return 0


def _picture(options: argparse.Namespace) -> int:
    from difflab.tracing.trace import trace
    from difflab.views.pictures import save_computation_graph

    f, point = subject(options)
    graph = trace(f, *point)
    if options.graph:
        save_computation_graph(graph, read_arguments(point, {})[1], options.graph)
    else:
        print(graph)
    return 0


def _methods(options: argparse.Namespace) -> int:
    rows = [
        {
            "method": name,
            "summary": (type(method).__doc__ or "").strip().splitlines()[0],
            "stencil": str(getattr(method, "stencil", "")),
        }
        for name, method in METHODS.items()
    ]
    lines = []
    for row in rows:
        stencil = row["stencil"] and f" Stencil: {row['stencil']}."
        lines.append(f"{row['method']:21} {row['summary']}{stencil}")
    show(options, "\n".join(lines), rows)
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
    for name in options.names:
        if name not in TABLE:
            raise UnknownNameError("primitive", name, TABLE)
    rows = [
        {
            "primitive": row.name,
            "kind": row.kind,
            "derivative": DERIVATIVES.get(type(row.derivative), "-"),
            **capabilities(row),
        }
        for row in (TABLE[name] for name in options.names or TABLE)
    ]
    reasons: dict[str, int] = {}
    marked = [
        row | {
            reading: text if text == "yes" else f"[{reasons.setdefault(text, len(reasons) + 1)}]"
            for reading, text in row.items() if reading in READINGS
        }
        for row in rows
    ]  # fmt: skip
    lines = [fitted(marked, ("primitive", *READINGS, "derivative", "kind"))]
    lines += [f"[{number}] {text}" for text, number in reasons.items()]
    show(options, "\n".join(lines), rows)
    return 0


def _run(options: argparse.Namespace) -> int:
    from difflab.lab import Options, run_all

    require("lab")
    return run_all(options.names, Options.of(options))


if __name__ == "__main__":
    sys.exit(main())
