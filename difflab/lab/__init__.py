"""The lab: experiments as cases -> rows -> tables, figures, findings -> reports.

An experiment's file imports everything it needs from here and ends in `main(EXPERIMENT)`. What it
speaks in stands in `blocks`, `claims` and `results`; behind these, each room knows only earlier
ones: `cases`, `store`, `record`, `machine`, `workers`, `runner`, `page`, `command`.
"""

from difflab.lab.blocks import Code, Figure, Formula, Picture, Section, Table
from difflab.lab.cases import Case, Experiment, Preset, Row, generator, grid
from difflab.lab.claims import Claim, Evidence, Finding, Interval
from difflab.lab.command import Options, main, options_parser, run_all
from difflab.lab.results import bootstrap_interval, proportion_interval, share_interval
from difflab.lab.style import looks
from difflab.lab.timing import TIME_COLUMNS, interleave

__all__ = [
    "TIME_COLUMNS",
    "Case",
    "Claim",
    "Code",
    "Evidence",
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
    "share_interval",
]
