"""The command line, as a newcomer would use it."""

from __future__ import annotations

import csv
import subprocess
import sys

import pytest

from difflab.__main__ import READINGS, capabilities, main
from difflab.accuracy.formula import assignment, formula
from difflab.errors import ArgumentError, UnknownNameError
from difflab.ir.primitives import TABLE
from difflab.ir.row import Unsupported
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
        (["primitives", "tanhh"], "unknown primitive", "'tanh'"),
    ],
)
def test_a_wrong_call_says_what_and_how_to_mend_it(arguments, what, remedy, capsys):
    assert main(arguments) == 2
    text = capsys.readouterr().err
    assert what in text and remedy in text


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
