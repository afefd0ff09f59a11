"""The house keeps its own rules: what is declared, how long it is, who knows whom."""

from __future__ import annotations

import re
from importlib import metadata
from pathlib import Path

import pytest
import yaml

import difflab
from difflab.__main__ import main
from difflab.errors import MissingPackageError, require
from difflab.ir.row import TABLE
from difflab.lab import cases

from .conftest import LONG, WHOLE
from .house import (
    BUDGET,
    PROJECT,
    ROOT,
    cycles,
    declared,
    files,
    graph,
    lines,
    longest,
    names_asked,
    strings,
    third_party,
)

OWN = {"difflab", "tests", "watched_k", "room_of_helpers"}  # tests make the last two
APART = {"lab", "experiments"}
ELSEWHERE = ("difflab/table/", "difflab/networks/")
"""Where the names are those of rows: of the table, and of the activations."""
EXTRAS = PROJECT["project"]["optional-dependencies"]


# The public house ---------------------------------------------------------------------------------


def test_the_version_is_one_fact():
    assert "version" not in PROJECT["project"] and "version" in PROJECT["project"]["dynamic"]
    assert re.fullmatch(r"\d+\.\d+\.\d+", difflab.__version__)
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["version"] == difflab.__version__
    assert cited["license"] == PROJECT["project"]["license"] == "MIT"
    assert f"## {difflab.__version__}" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_the_command_tells_its_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"difflab {difflab.__version__}\n"
    with pytest.raises(SystemExit):
        main([])
    assert capsys.readouterr().err.startswith("usage: difflab ")
    assert PROJECT["project"]["scripts"] == {"difflab": "difflab.__main__:main"}


def test_experiments_are_found_in_a_checkout_and_else_where_they_are_installed(
    tmp_path, monkeypatch
):
    (tmp_path / "site" / "difflab" / "lab").mkdir(parents=True)
    installed = tmp_path / "site" / "difflab_experiments"
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setattr(cases, "INSTALLED", installed)
    monkeypatch.setattr(cases, "__file__", str(tmp_path / "site/difflab/lab/cases.py"))
    with pytest.raises(difflab.errors.ArgumentError, match=r"none installed(.|\n)*difflab\[lab\]"):
        cases.experiments_folder()
    installed.mkdir()
    assert cases.experiments_folder() == installed
    (here / "pyproject.toml").touch()
    (here / "experiments").mkdir()
    assert cases.experiments_folder() == here / "experiments"


def test_the_wheel_holds_the_experiments_where_they_are_looked_for():
    forced = PROJECT["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    assert forced == {"experiments": cases.INSTALLED.name}


def test_running_without_the_lab_names_the_extra(monkeypatch, capsys):
    monkeypatch.setattr(
        metadata, "requires", lambda _: ["numpy>=2", "nowhere-at-all[x]>=1; extra == 'lab'"]
    )
    assert main(["run", "worked_examples"]) == 2
    assert capsys.readouterr().err == (
        'error: nowhere-at-all is not installed\n  remedy: pip install "difflab[lab]"\n'
    )
    require("dev")
    with pytest.raises(MissingPackageError) as caught:
        require("lab")
    assert caught.value.line.file == __file__


@pytest.mark.parametrize(
    "file", [".github/workflows/ci.yml", ".pre-commit-config.yaml", "CITATION.cff"]
)
def test_files_for_others_are_valid_yaml(file):
    if not (ROOT / file).exists():
        pytest.skip("a source distribution does not hold it")
    assert isinstance(yaml.safe_load((ROOT / file).read_text(encoding="utf-8")), dict)


# Dependencies -------------------------------------------------------------------------------------


def test_what_is_imported_is_declared():
    wrong = [
        found
        for folder, extras in {
            "difflab": ["lab", "native"],
            "experiments": ["lab", "peers"],
            "benchmarks": ["lab", "peers", "dev"],
            "tests": ["lab", "peers", "dev"],
        }.items()
        for found in third_party(folder, OWN | _stems("experiments") | _stems(folder))
        if found.module not in declared(*extras)
    ]
    assert not wrong, "not declared in pyproject.toml:\n" + "\n".join(map(str, wrong))


def _stems(folder: str) -> set[str]:
    return {name for file in files(folder) for name in (file.stem, file.parent.name)}


def test_importing_a_module_needs_core_dependencies_alone():
    """In the lab, and after `with extra(...)`, others may be imported."""
    wrong = [
        found
        for found in third_party("difflab", OWN)
        if found.at_once
        and found.module not in declared()
        and found.file.relative_to(ROOT / "difflab").parts[0] not in APART
    ]
    assert not wrong, "imported before it is needed:\n" + "\n".join(map(str, wrong))


def test_what_is_declared_is_used():
    folders = ("difflab", "experiments", "tests")
    used = {found.module for folder in folders for found in third_party(folder, OWN)}
    used |= {text.partition(".")[0] for text in strings("difflab")}  # imported by name
    needed = declared("lab", "native", "distributed", "ray")
    assert not needed - used, f"declared, and nowhere imported: {sorted(needed - used)}"


def test_each_dependency_has_a_lower_bound_and_a_reason():
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    extras = [requirement for extra in EXTRAS.values() for requirement in extra]
    for requirement in [*PROJECT["project"]["dependencies"], *extras]:
        if not requirement.startswith("difflab["):
            assert re.search(r">=\d", requirement), requirement
            assert re.search(rf'"{re.escape(requirement)}", *# \w', text), f"why {requirement}?"


def test_what_is_left_out_of_the_fast_selection_exists():
    text = "".join(file.read_text(encoding="utf-8") for file in files("tests"))
    assert not [name for name in LONG if f"def {name}(" not in text]
    assert not [place for place in WHOLE if not (ROOT / place).exists()]


# Lines, walls, names ------------------------------------------------------------------------------


@pytest.mark.parametrize("part", BUDGET)
def test_the_house_is_within_its_budget_of_lines(part):
    count = lines()[part]
    where = f" ({longest()})" if part == "longest_file" else ""
    assert count <= BUDGET[part], f"{part}: {count} lines{where}; at most {BUDGET[part]}"


def test_cycles_are_found():
    edges = {"a": {"b"}, "b": {"c", "d"}, "c": {"b"}, "d": {"a"}, "e": {"a"}, "f": set()}
    assert cycles(edges) == [["a", "b", "d", "a"]]
    assert cycles({"a": {"b"}, "b": set()}) == []


def test_no_module_imports_itself_in_the_end():
    found = [" -> ".join(cycle) for cycle in cycles(graph())]
    assert not found, f"{len(found)} cycles of imports:\n" + "\n".join(found)


def test_names_are_found(tmp_path, monkeypatch):
    monkeypatch.setitem(names_asked.__globals__, "ROOT", tmp_path)
    file = Path(tmp_path / "asks.py")
    file.write_text(
        "a = row.name == 'sin'\n"
        "b = row.name not in ('sin', 'other')\n"
        "c = {'sin': 1, 'cos': 2}\n"
        "d = frozenset({'cos', 'sin'})\n"
        "match row.name:\n    case 'sin' | 'cos':\n        pass\n"
        "e = row.name == 'other' or 'sin' == text or ('sin', 'other')\n"
    )
    found = [text.split()[0] for text in names_asked(file, {"sin", "cos"})]
    assert sorted(set(found)) == [f"asks.py:{line}" for line in range(1, 6)]


def test_no_primitive_is_known_by_name_outside_the_table():
    found = [
        text
        for file in files()
        if not file.relative_to(ROOT).as_posix().startswith(ELSEWHERE)
        for text in names_asked(file, TABLE)
    ]
    assert not found, f"{len(found)} places know a primitive by name:\n" + "\n".join(found)
