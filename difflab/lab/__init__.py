"""The lab: experiments as cases -> rows -> tables, figures, findings -> reports.

An experiment's file imports everything it needs from here and ends in `main(EXPERIMENT)`.
"""

from difflab.lab.experiment import (
    Case,
    Code,
    Experiment,
    Figure,
    Finding,
    Formula,
    Interval,
    Picture,
    Preset,
    Row,
    Section,
    Table,
    generator,
    grid,
)
from difflab.lab.measure import (
    TIME_COLUMNS,
    bootstrap_interval,
    interleave,
    proportion_interval,
    verdict_from_interval,
)
from difflab.lab.report import looks
from difflab.lab.runner import Options, main, options_parser, run_all

__all__ = [
    "TIME_COLUMNS",
    "Case",
    "Code",
    "Experiment",
    "Figure",
    "Finding",
    "Formula",
    "Interval",
    "Options",
    "Picture",
    "Preset",
    "Row",
    "Section",
    "Table",
    "bootstrap_interval",
    "generator",
    "grid",
    "interleave",
    "looks",
    "main",
    "options_parser",
    "proportion_interval",
    "run_all",
    "verdict_from_interval",
]
