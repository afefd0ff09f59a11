"""What `import difflab` gives, and what it costs."""

from __future__ import annotations

import subprocess
import sys

import difflab


def test_every_public_name_exists():
    assert all(getattr(difflab, name) is not None for name in difflab.__all__)
    assert set(difflab.__all__) <= set(dir(difflab))


def test_testing_is_there_without_an_import_of_its_own():
    code = "import difflab; print(difflab.testing.assert_gradient.__name__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "assert_gradient" and "testing" in dir(difflab)


def test_importing_difflab_imports_nothing_heavy():
    heavy = ("sympy", "pandas", "matplotlib", "flint", "sklearn", "pygraphviz", "rich", "joblib")
    code = f"import sys, difflab; print([m for m in {heavy!r} if m in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_a_wrong_name_is_an_attribute_error():
    assert not hasattr(difflab, "gradeint")
