"""Prints the largest distances from the truth that the digits law saw."""

from __future__ import annotations

from typing import Any

MOST = 12


def pytest_terminal_summary(terminalreporter: Any) -> None:
    lines = [
        line
        for reports in terminalreporter.stats.values()
        for report in reports
        for name, table in getattr(report, "user_properties", ())
        if name == "digits" and report.when == "call"
        for line in table
    ]
    if not lines:
        return
    terminalreporter.section(f"partials furthest from the truth, of {len(lines)}")
    for line in sorted(lines, key=lambda line: -line["max_ulps"])[:MOST]:
        where = ", ".join(f"{x:.6g}" for x in line["worst_x"])
        corner = f"  (corner: {line['corner_ulps']:.3g})" if line["corner_ulps"] > 4.0 else ""
        terminalreporter.write_line(
            f"{line['max_ulps']:6.3f} ulps  {line['row']} d/dx{line['partial']}"
            f" {line['program']} at {where}, {line['samples']} samples{corner}"
        )
