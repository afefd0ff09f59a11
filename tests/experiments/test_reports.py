"""What is committed under reports/ is light, and complete."""

from __future__ import annotations

from pathlib import Path

import pytest

REPORTS = Path(__file__).parents[2] / "reports"
MEGABYTES = 15


def committed() -> list[Path]:
    """The files of the reports, without those of a quick run, which Git ignores."""
    files = (path for path in REPORTS.rglob("*") if path.is_file())
    found = [path for path in files if path.relative_to(REPORTS).parts[0] != "quick"]
    if not found:
        pytest.skip("a source distribution does not hold the reports")
    return found


def test_the_reports_are_light() -> None:
    sizes = {path.relative_to(REPORTS).as_posix(): path.stat().st_size for path in committed()}
    largest = sorted(sizes, key=sizes.__getitem__, reverse=True)[:5]
    assert sum(sizes.values()) <= MEGABYTES * 1e6, [(name, sizes[name]) for name in largest]


def test_the_front_page_is_light() -> None:
    committed()
    assert (REPORTS / "index.html").stat().st_size <= 1.5e6
