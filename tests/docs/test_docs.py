"""The site, without building it: every public name has a page, every block of Python is Python."""

from __future__ import annotations

import ast
import doctest
import importlib
import pkgutil
import re
import types

import pytest

import difflab
from difflab.operators.operators import Operator

from .pages import DOCS, cells, pages, part, run

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="a source distribution has no site")
OPTIONAL = {"pytorch.md": ("torch",), "jax.md": ("jax",)}
"""Pages whose blocks are run where these are installed."""


@pytest.fixture(scope="module")
def made() -> types.ModuleType:
    return part("reference")


def test_every_public_name_has_a_page(made):
    documented = {(name.module, name.name) for names in made.sections().values() for name in names}
    for module in ("difflab", "difflab.testing", "difflab.networks", "difflab.lab"):
        for name in importlib.import_module(module).__all__:
            elsewhere = ("difflab.errors", name)
            assert {(module, name), elsewhere} & documented, f"{module}.{name} has no page"
    for kind in difflab.errors.DifflabError.__subclasses__():
        if kind.__module__ == "difflab.errors":
            assert ("difflab.errors", kind.__name__) in documented


def test_what_public_functions_return_has_a_page(made):
    documented = [name.value for names in made.sections().values() for name in names]
    for name in difflab.__all__:
        function = getattr(difflab, name)
        if isinstance(function, types.FunctionType):
            kind = function.__globals__.get(function.__annotations__["return"])
            own = isinstance(kind, type) and kind.__module__.startswith("difflab.")
            if own and not issubclass(kind, Operator):
                assert kind in documented, f"{name} returns {kind}, which has no page"


def test_pages_of_the_reference_are_apart_and_can_be_documented(made):
    texts = dict(made.pages())
    files = [name.file.lower() for name in texts]
    assert len(files) == len(set(files))
    for name, text in texts.items():
        assert name.value is not None and f":: {name.module}.{name.name}\n" in text
        assert any(f"\n{name.file}\n" in index for _, index in made.indexes())


@pytest.mark.parametrize(("name", "need"), [("docstrings", "re"), ("mathml", "latex2mathml")])
def test_parts_of_the_site_do_what_they_say(name, need):
    pytest.importorskip(need)
    flags = doctest.NORMALIZE_WHITESPACE
    assert doctest.testmod(part(name), optionflags=flags).failed == 0


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.relative_to(DOCS).as_posix())
def test_blocks_are_python(page):
    for cell in cells(page):
        ast.parse(cell.text, cell.where)


def test_every_page_with_cells_has_a_kernel():
    """Without its header a page's cells would be text that nobody ran."""
    for page in pages():
        if page.suffix == ".md" and any(cell.runs for cell in cells(page)):
            assert page.read_text(encoding="utf-8").startswith("---\nfile_format: mystnb\n"), page


def test_every_module_that_pages_import_from_exists():
    text = "\n".join(page.read_text(encoding="utf-8") for page in pages())
    modules = set(re.findall(r"from (difflab[\w.]*) import", text))
    known = {m.name for m in pkgutil.walk_packages(difflab.__path__, "difflab.")} | {"difflab"}
    assert modules <= known


@pytest.mark.parametrize("page", OPTIONAL)
def test_pages_of_other_libraries(page):
    for module in OPTIONAL[page]:
        pytest.importorskip(module)
    names = run(DOCS / "engineer" / page, every=True)
    assert names["found"].verdict == "correct"
