"""The notebooks run from the first cell to the last, without Jupyter."""

from __future__ import annotations

import json
import sys
from types import ModuleType

import pytest

from .pages import DOCS, run

pytestmark = pytest.mark.skipif(not DOCS.exists(), reason="a source distribution has no site")
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


@pytest.fixture(autouse=True)
def without_jupyter(monkeypatch):
    """Figures are drawn into memory; formulas are their text."""
    import matplotlib

    monkeypatch.setitem(matplotlib.rcParams, "figure.max_open_warning", 0)
    before = matplotlib.get_backend()
    matplotlib.use("agg")
    display = ModuleType("IPython.display")
    display.Math = str
    monkeypatch.setitem(sys.modules, "IPython.display", display)
    yield
    import matplotlib.pyplot as plt

    plt.close("all")
    matplotlib.use(before)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_it_runs(notebook):
    run(notebook)


@pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda notebook: notebook.stem)
def test_it_is_committed_without_outputs(notebook):
    for cell in json.loads(notebook.read_text(encoding="utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            assert not cell["outputs"] and cell["execution_count"] is None


def test_there_are_three():
    assert len(NOTEBOOKS) == 3
