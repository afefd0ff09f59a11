"""Which tests are fast, and what is printed after them.

`pytest -m fast` takes two samples of every law and room, in about a minute. The rule: of each
test, and of each law, the first and the last; not those that run whole experiments or processes,
nor what is LONG.
"""

from __future__ import annotations

from typing import Any

import pytest

from .house import BUDGET, lines, longest

WHOLE = (
    "tests/experiments/",
    *(f"tests/lab/test_{name}.py" for name in ("backends", "report", "resume", "runner", "store")),
)
LONG = {
    "test_a_grid_search_chooses",
    "test_a_large_graph_is_a_table_alone",
    "test_a_long_chain_differentiates_without_recursion",
    "test_any_index",
    "test_bands_hold_at_random_functions",
    "test_code_is_freed",
    "test_derivatives_by_two_variables_are_what_tiny_steps_say",
    "test_digits_hold_without_wide_vectors",
    "test_every_set_is_what_was_published",
    "test_graphs_of_a_hundred_thousand_nodes_are_bounded_and_do_not_recurse",
    "test_hard_points_edges_and_kinks_of_the_zoo_are_honest",
    "test_of_many_ties_it_is_said_how_many_were_looked_at",
    "test_programs_are_not_kept_for_ever",
    "test_programs_are_their_graphs",
    "test_reading_repeats_and_leaves_everything_alone",
    "test_readings_agree",
    "test_real_data_is_learnt_with_default_settings",
    "test_samples_are_long_enough",
    "test_scikit_learns_own_checks_pass_in_full",
    "test_the_bands_over_the_zoo_are_honest_and_tight",
    "test_the_derivative_program_grows_linearly",
    "test_the_exact_gradient_through_a_solver",
    "test_training_is_the_same_by_every_exact_method",
    "test_typical_errors_are_root_mean_squares",
    "test_the_dtype_is_the_one_asked_for",
    "test_what_is_declared_is_used",
    "test_what_is_imported_is_declared",
}
"""What takes seconds whatever the sample, or needs an idle machine."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    groups: dict[tuple[str, ...], list[pytest.Item]] = {}
    for item in items:
        file, _, name = item.nodeid.partition("::")
        function = name.partition("[")[0]
        if not file.startswith(WHOLE) and function not in LONG:
            law = getattr(getattr(item, "callspec", None), "params", {}).get("law")
            groups.setdefault((file, function, getattr(law, "__name__", "")), []).append(item)
    for group in groups.values():
        for place in {0, len(group) - 1}:
            group[place].add_marker("fast")


def pytest_terminal_summary(terminalreporter: Any) -> None:
    counts = lines()
    parts = (f"{part} {count:,} of {BUDGET[part]:,}" for part, count in counts.items())
    terminalreporter.write_line(
        f"lines of difflab: {', '.join(parts)} ({longest().relative_to('difflab').as_posix()})"
    )
