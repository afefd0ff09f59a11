"""A page of the reference for every public name: a name has one by existing.

What flows: the lists of public names (`__all__`), and the classes that public functions return,
become pages that autodoc fills from docstrings, and one index.
"""

from __future__ import annotations

import importlib
import inspect
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

RESULTS = {
    "Check": "difflab.accuracy.words",
    "Comparison": "difflab.accuracy.compare",
    "Enclosure": "difflab.accuracy.truth",
    "Estimate": "difflab.accuracy.estimate",
    "Explanation": "difflab.accuracy.explain",
    "Guilty": "difflab.accuracy.explain",
    "Kink": "difflab.accuracy.kinks",
    "Bounds": "difflab.accuracy.box",
    "Interval": "difflab.accuracy.box",
    "Graph": "difflab.ir.expr",
    "Prepared": "difflab.operators.programs",
    "Picture": "difflab.views.pictures",
    "History": "difflab.networks.history",
}
"""What public functions return; their attributes are public too."""
METHODS = {
    "Method": "difflab.methods",
    "Derivation": "difflab.methods",
    "Caller": "difflab.methods",
}
"""What a method of one's own speaks."""
DATA = {
    "METHODS": "From the name of a method to its object, made when it is asked for.",
    "__version__": "The version, as text.",
    "TIME_COLUMNS": "What `interleave` measures, which differs from run to run.",
}
"""What is no function and no class, and so has no docstring."""


class Name(NamedTuple):
    """A public name, and where it is found."""

    module: str
    name: str

    @property
    def value(self) -> Any:
        return getattr(importlib.import_module(self.module), self.name)

    @property
    def is_error(self) -> bool:
        return inspect.isclass(self.value) and issubclass(self.value, Exception)

    @property
    def directive(self) -> str:
        """What autodoc documents it by."""
        if isinstance(self.value, types.GenericAlias):
            return "alias"
        if inspect.isclass(self.value):
            return "autoexception" if self.is_error else "autoclass"
        return "autofunction" if callable(self.value) else "autodata"

    @property
    def file(self) -> str:
        """The page, apart from others on systems that do not tell capitals from small letters."""
        mark = "" if self.name == self.name.lower() else "-class"
        return f"{self.module}.{self.name}{mark}"

    @property
    def summary(self) -> str:
        """The first sentence of the docstring."""
        if self.directive == "alias":
            return f"`{self.value}`"
        if self.directive == "autodata":
            return DATA[self.name]
        return " ".join((inspect.getdoc(self.value) or "").partition("\n\n")[0].split())


def public(module: str) -> list[Name]:
    """The names that a module calls public."""
    return [Name(module, name) for name in importlib.import_module(module).__all__]


def errors() -> list[Name]:
    """The error family."""
    module = importlib.import_module("difflab.errors")
    return [
        Name("difflab.errors", name)
        for name, value in vars(module).items()
        if inspect.isclass(value) and issubclass(value, module.DifflabError)
    ]


def sections() -> dict[str, list[Name]]:
    """All public names, in the order of the index."""
    family = {error.name for error in errors()}
    return {
        "difflab": public("difflab"),
        "Results": [Name(module, name) for name, module in RESULTS.items()],
        "Methods": [Name(module, name) for name, module in METHODS.items()],
        "difflab.testing": public("difflab.testing"),
        "difflab.networks": [one for one in public("difflab.networks") if one.name not in family],
        "difflab.lab": public("difflab.lab"),
        "difflab.errors": errors(),
    }


def pages() -> Iterator[tuple[Name, str]]:
    """Every name, with the text of its page."""
    for names in sections().values():
        for name in names:
            title = name.name.replace("_", r"\_")
            body = f".. {name.directive}:: {name.module}.{name.name}\n"
            if name.directive == "alias":
                body = f".. py:data:: {name.module}.{name.name}\n\n   ``{name.value}``\n"
            elif name.directive == "autodata":
                body += f"\n   {name.summary}\n"
            yield name, f"{title}\n{'=' * len(title)}\n\n{body}"


def indexes() -> Iterator[tuple[str, str]]:
    """Of each section a table, a name with its first sentence; and of the sections."""
    for title, names in sections().items():
        text = f"# {title}\n\n| name | what it is |\n|---|---|\n"
        for name in names:
            summary = name.summary.replace("|", r"\|")
            text += f"| [`{name.name}`]({name.file}.rst) | {summary} |\n"
        files = "\n".join(name.file for name in names)
        yield f"in-{title.lower()}", f"{text}\n```{{toctree}}\n:hidden:\n\n{files}\n```\n"
    files = "\n".join(f"in-{title.lower()}" for title in sections())
    text = "# Names\n\nEvery public name has a page, made from its docstring.\n"
    yield "index", f"{text}\n```{{toctree}}\n:maxdepth: 2\n\n{files}\n```\n"


def write(folder: Path) -> None:
    """Write what has changed, and remove pages of names that are gone."""
    wanted = {f"{name.file}.rst": text for name, text in pages()} | {
        f"{file}.md": text for file, text in indexes()
    }
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        if old.name not in wanted:
            old.unlink()
    for file, text in wanted.items():
        path = folder / file
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
