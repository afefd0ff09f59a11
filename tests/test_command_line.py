"""The command line, as a newcomer would use it."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from pathlib import Path

import pytest

import difflab
from difflab.__main__ import READINGS, capabilities, main
from difflab.accuracy.formula import assignment, formula
from difflab.errors import ArgumentError, UnknownNameError
from difflab.ir.row import TABLE, Unsupported
from difflab.methods import METHODS


def test_compare_prints_every_method_and_the_truth(capsys):
    assert main(["compare", "log(x1) + x1*x2 - sin(x2)", "x1=2", "x2=5"]) == 0
    text = capsys.readouterr().out
    assert "5.5" in text and "1.7163378" in text
    assert all(name in text for name in METHODS)


def test_compare_writes_table_and_plot(tmp_path):
    table, plot = tmp_path / "table.csv", tmp_path / "plot.png"
    arguments = ["compare", "sum(tanh(w))", "w=[1, 20]", "--methods", "reverse", "symbolic"]
    assert main([*arguments, "--csv", str(table), "--plot", str(plot)]) == 0
    with table.open() as file:
        assert [row["method"] for row in csv.DictReader(file)] == ["reverse", "symbolic"]
    assert plot.read_bytes().startswith(b"\x89PNG")


def test_a_formula_has_no_line_of_whoever_runs_the_command(capsys):
    assert main(["explain", "log(1 + exp(x))", "x=-40"]) == 0
    text = capsys.readouterr().out
    assert "=>" in text and Path(__file__).name not in text


@pytest.mark.parametrize(
    ("arguments", "what", "remedy"),
    [
        (["compare", "lgo(x)", "x=2"], "unknown function 'lgo'", "did you mean 'log'"),
        (["compare", "log(x)", "y=2"], "unknown name 'x'", "known"),
        (["compare", "x^2", "x=2"], "not part of a formula", "**"),
        (["compare", "x**2", "x=two"], "not a number", "x=2"),
        (["compare", "x**2", "x"], "does not say", "x=2"),
        (["compare", "x**2", "x=1", "x=2"], "two values", "once"),
        (["compare", "x**2", "x=1", "--methods", "revers"], "unknown method", "'reverse'"),
        (["compare", "[x, x]", "x=nan"], "not a number", "x=2"),
        (["check", "nowhere:loss", "--at", "1"], "no module 'nowhere'", "module:function"),
        (["check", "math:sine", "--at", "1"], "no function 'sine'", "module:function"),
        (["check", "math", "--at", "1"], "does not name a function", "module:function"),
        (["check", "math:sin", "--at", "x"], "not a number", "[1.0, 2.0]"),
        (["explain", "x**2", "x=1", "--html", "out.pdf"], ".pdf", ".html"),
        (["primitives", "tanhh"], "unknown primitive", "'tanh'"),
    ],
)
def test_a_wrong_call_says_what_and_how_to_mend_it(arguments, what, remedy, capsys):
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert what in text and remedy in text


MODEL = """
import numpy as np

def loss(x):
    return np.sum(x**3)

def gradient(x):
    return 3 * x**2

def wrong(x):
    return -3 * x**2

def weighted(w, b):
    return np.sum(w["a"] ** 2) * b
"""


@pytest.fixture
def model(tmp_path, monkeypatch):
    """A folder with the user's module, from which the command is run."""
    (tmp_path / "users_model.py").write_text(MODEL)
    monkeypatch.chdir(tmp_path)
    yield "users_model"
    sys.modules.pop("users_model", None)


def test_check_tells_right_from_wrong(model, capsys, tmp_path):
    arguments = ["check", f"{model}:loss", "--at", "[1.0, 2.0]"]
    assert main([*arguments, "--gradient", f"{model}:gradient"]) == 0
    assert "correct: the gradient of loss is right" in capsys.readouterr().out
    table = tmp_path / "table.csv"
    assert main([*arguments, "--gradient", f"{model}:wrong", "--csv", str(table)]) == 1
    text = capsys.readouterr().out
    assert "wrong: the gradient of loss" in text and "have the wrong sign" in text
    with table.open() as file:
        assert [row["verdict"] for row in csv.DictReader(file)] == ["wrong", "wrong"]


def test_check_takes_files_trees_and_several_arguments(model, capsys):
    assert main(["check", f"{model}.py:weighted", "--at", "{'a': [1, 2]}", "--at", "3"]) == 0
    assert "in all 3 components" in capsys.readouterr().out
    assert main(["check", f"{model}:loss", "--at", "[1.0]", "--order", "2"]) == 0
    assert "Hessian" in capsys.readouterr().out


def test_explain_prints_and_writes_a_page(model, capsys, tmp_path):
    page, table = tmp_path / "out.html", tmp_path / "table.csv"
    arguments = ["explain", "log(1 + exp(x))", "x=-40", "--html", str(page), "--csv", str(table)]
    assert main(arguments) == 0
    assert "logaddexp" in capsys.readouterr().out
    assert page.read_text().lower().startswith("<!doctype html>") and table.is_file()
    assert main(["explain", f"{model}:loss", "x=[1,2]"]) == 0
    assert main(["explain", f"{model}:loss", "y=[1,2]"]) == 2
    assert "its parameters are x" in capsys.readouterr().err


def test_primitives_lists_every_row_with_reasons_in_the_empty_cells(capsys):
    assert main(["primitives", "--csv", "-"]) == 0
    rows = {row["primitive"]: row for row in csv.DictReader(capsys.readouterr().out.splitlines())}
    assert list(rows) == list(TABLE)
    for name, row in rows.items():
        for reading, cell in capabilities(TABLE[name]).items():
            assert row[reading] == cell and cell
    assert any(isinstance(row.sympy, Unsupported) for row in TABLE.values())
    assert main(["primitives"]) == 0
    assert all(reading in capsys.readouterr().out.splitlines()[0] for reading in READINGS[:1])


def test_methods_lists_every_method(capsys):
    assert main(["methods"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(METHODS)


def test_the_module_runs_as_a_command():
    call = [sys.executable, "-m", "difflab", "compare", "exp(x)", "x=1", "--methods", "reverse"]
    done = subprocess.run(call, capture_output=True, text=True, check=True)
    assert "reverse" in done.stdout and not done.stderr


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os').system('true')", "(lambda: 1)()", "x.real", "open('f')", "1j",
        "[y for y in x]", "x if x else (y := 1)", "f'{x}'", "'a'", "x[0:1]", "sum(x, axis=0)",
        "log(*x)", "x and x",
        "exec('1')", "().__class__", "x == x", "not x", "True",
    ],
)  # fmt: skip
def test_what_is_not_a_formula_is_refused(text):
    with pytest.raises((ArgumentError, UnknownNameError)):
        formula(text, ["x"])


def test_a_formula_too_long_or_deep_is_refused():
    with pytest.raises(ArgumentError, match="characters"):
        formula("1+" * 6000 + "1", [])
    with pytest.raises(ArgumentError):
        formula("-" * 5000 + "1", [])


def test_formulas_compute():
    assert formula("2*x[1] - 3 if x[0] > 0 else pi", ["x"])([1.0, 4.0]) == 5.0
    assert formula("norm([x, 4.0])", ["x"])(3.0) == 5.0
    assert assignment("x = 2") == ("x", 2.0)


# One grammar ------------------------------------------------------------------------------------


def test_every_command_takes_formulas_and_functions_with_named_values(model, capsys, tmp_path):
    for command in ("compare", "check", "explain", "picture"):
        for function in ("sum(x**3)", f"{model}:loss", f"{model}.py:loss"):
            assert main([command, function, "x=[1, pi/2]"]) == 0, capsys.readouterr().err
            assert capsys.readouterr().out
    assert main(["compare", f"{model}:loss", "y=[1,2]"]) == 2
    assert "its parameters are x" in capsys.readouterr().err


def test_check_takes_a_gradient_as_a_formula(model, capsys):
    assert main(["check", "x**3", "x=2", "--gradient", "3*x**2"]) == 0
    assert main(["check", "x**3", "x=2", "--gradient", "-3*x**2"]) == 1
    assert main(["check", "-x**2", "x=-pi"]) == 0
    assert main(["check", f"{model}:loss", "--at", "[-1, pi]"]) == 0
    assert "in all 2 components" in capsys.readouterr().out


def test_picture_draws_or_prints_the_graph(capsys, tmp_path):
    drawing = tmp_path / "graph.svg"
    assert main(["picture", "log(x) * x", "x=2", "--output", str(drawing)]) == 0
    assert drawing.read_bytes().startswith(b"<svg")
    assert main(["picture", "log(x) * x", "x=2"]) == 0
    assert "log(x)" in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [["compare", "abs(x) * y", "x=0", "y=1"], ["check", "x*y", "x=1", "y=2"], ["methods"],
     ["explain", "log(x)", "x=0"], ["primitives", "floor", "sin"]],
)  # fmt: skip
def test_tables_are_strict_json_and_csv(arguments, capsys):
    def refuse(text):
        raise AssertionError(text)

    main([*arguments, "--json"])
    rows = json.loads(capsys.readouterr().out, parse_constant=refuse)["table"]
    main([*arguments, "--csv", "-"])
    table = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert len(rows) == len(table) > 0 and list(rows[0]) == list(table[0])
    assert all(not cell for row in table for cell in row.values() if cell == "nan")


# Errors -------------------------------------------------------------------------------------------


def two_lines(arguments, capsys):
    """The two lines of a wrong call."""
    assert main(arguments) == 2
    written = capsys.readouterr()
    first, second = written.err.splitlines()
    assert first.startswith("error: ") and second.startswith("  remedy: ") and not written.out
    return first, second


@pytest.mark.parametrize(
    "arguments",
    [["compare"], ["compare", "x"], ["compare", "x", "x=1", "--methds", "a"], ["nothing"], ["-x"],
     ["check", "x", "x=1", "--order", "3"], ["check", "x", "--at", "1"], ["check", "math:sin"],
     ["check", "math:sin", "x=1", "--at", "1"], ["run", "--preset", "none"], ["compare", "--x"],
     ["compare", "x\n+", "x=1"], ["compare", "\udcff", "x=1"], ["compare", "x\0", "x=1"],
     ["compare", "x", "\x1b[31m=1"], ["compare", ":", "x=1"], ["check", "a b:c", "x=1"],
     ["check", "..:x", "x=1"], ["check", "nowhere.py:f", "x=1"], ["check", "\0:f", "x=1"],
     ["explain", "x < 1", "x=1"], ["compare", "x*x[0]", "x=[" + "1," * 200 + "]"],
     ["check", "numpy:pi", "x=1"], ["compare", "x", "x=1", "class=2"], ["compare", "()", "x=1"]],
)  # fmt: skip
def test_a_wrong_call_is_two_lines(arguments, capsys):
    two_lines(arguments, capsys)


@pytest.mark.parametrize(
    ("option", "file", "what"),
    [("--plot", "p.bmp", ".bmp"), ("--plot", "p", "suffix"), ("--plot", "nodir/p.png", "nodir"),
     ("--csv", "nodir/t.csv", "nodir"), ("--csv", ".", "folder"), ("--csv", "a" * 300, "written"),
     ("--csv", "a\0b", "written"), ("--plot", "", "suffix")],
)  # fmt: skip
def test_files_are_checked_before_the_work(option, file, what, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("difflab.accuracy.compare.compare", None)
    assert what in two_lines(["compare", "x", "x=1", option, file], capsys)[0]
    assert not list(tmp_path.iterdir())


BROKEN = {
    "syntax": "def f(x:\n",
    "raises": "\n1 / 0\n",
    "leaves": "import sys\nsys.exit(0)\n",
    "needs": "import nowhere_at_all\n",
    "called": "def f(x):\n    return x.nothing\n",
    "exits": "import sys\ndef f(x):\n    sys.exit(3)\n",
    "keys": "def f(x):\n    return {}[x]\n",
    "interface": "def __getattr__(name):\n    raise ValueError(name)\n",
}


@pytest.mark.parametrize("name", BROKEN)
@pytest.mark.parametrize("command", ["compare", "check", "explain", "picture"])
def test_a_users_module_that_fails_is_told_with_its_line(
    command, name, capsys, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"broken_{name}.py").write_text(BROKEN[name])
    for function in (f"broken_{name}:f", f"broken_{name}.py:f"):
        assert f"broken_{name}.py:" in two_lines([command, function, "x=1"], capsys)[0]
    sys.modules.pop(f"broken_{name}", None)


def test_a_fault_is_told_and_its_traceback_is_there_for_who_asks(capsys, monkeypatch):
    def fault(*_, **__):
        raise KeyError("inside")

    fault.__code__ = fault.__code__.replace(co_filename=difflab.__file__)
    monkeypatch.setattr("difflab.accuracy.compare.compare", fault)
    what, remedy = two_lines(["compare", "x", "x=1"], capsys)
    assert "fault of difflab's: KeyError" in what and "DIFFLAB_TRACEBACK" in remedy
    monkeypatch.setenv("DIFFLAB_TRACEBACK", "1")
    assert main(["compare", "x", "x=1"]) == 2
    assert "Traceback" in capsys.readouterr().err


def test_an_interrupt_is_a_line(capsys, monkeypatch):
    def interrupted(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr("difflab.accuracy.compare.compare", interrupted)
    assert main(["compare", "x", "x=1"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


# Colours and widths -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "terminal", "colours"),
    [({}, False, False), ({}, True, True), ({"TERM": "dumb"}, True, False),
     ({"NO_COLOR": "1"}, True, False), ({"FORCE_COLOR": "1"}, False, True),
     ({"FORCE_COLOR": "0"}, True, False), ({"FORCE_COLOR": "1", "NO_COLOR": "1"}, True, False)],
)  # fmt: skip
def test_verdicts_have_colours_where_somebody_sees_them(
    variables, terminal, colours, capsys, monkeypatch
):
    for name in ("NO_COLOR", "FORCE_COLOR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm")
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: terminal)
    for arguments in (["check", "x**2", "x=1"], ["compare", "abs(x)", "x=0"]):
        main(arguments)
        assert ("\033[" in capsys.readouterr().out) == colours
    main(["check", "x**2", "x=1", "--json"])
    assert "\033[" not in capsys.readouterr().out


@pytest.mark.parametrize("columns", [60, 80, 300])
def test_tables_fit_the_terminal_and_say_what_was_left_out(columns, capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", str(columns))
    for arguments in (["compare", "x*y", "x=1", "y=2"], ["explain", "tanh(x)/y", "x=1", "y=3"]):
        assert main(arguments) == 0
        lines = capsys.readouterr().out.splitlines()
        assert max(map(len, lines[:-1])) <= columns
        assert any("no room for" in line for line in lines) == (columns < 300)
