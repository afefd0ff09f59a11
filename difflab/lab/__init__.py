"""The lab: experiments as cases -> rows -> tables, figures, findings -> reports.

An experiment's file imports everything it needs from here and ends in `main(EXPERIMENT)`. What it
speaks in stands in `blocks`, `results` and `panels`; behind these, each room knows only earlier
ones: `intervals`, `claims`, `cases`, `findings`, `store`, `record`, `machine`, `workers`, `runner`,
`page`, `command`.
"""

from difflab.lab.blocks import Code, Figure, Formula, Picture, Section, Slider, Table
from difflab.lab.cases import Case, Experiment, Preset, Row, generator, grid
from difflab.lab.claims import Claim, Criterion
from difflab.lab.command import Options, main, options_parser, run_all
from difflab.lab.intervals import Interval, mean_interval, median_interval, proportion_interval
from difflab.lab.panels import curves
from difflab.lab.results import (
    Part,
    Result,
    chosen,
    every,
    exponent,
    mean,
    paired,
    ratio,
    share,
    timed,
)
from difflab.lab.style import looks
from difflab.lab.timing import TIME_COLUMNS, interleave

__all__ = [
    "TIME_COLUMNS", "Case", "Claim", "Code", "Criterion", "Experiment", "Figure", "Formula",
    "Interval", "Options", "Part", "Picture", "Preset", "Result", "Row", "Section", "Slider",
    "Table", "chosen", "curves", "every", "exponent", "generator", "grid", "interleave", "looks",
    "main", "mean", "mean_interval", "median_interval", "options_parser", "paired",
    "proportion_interval", "ratio", "run_all", "share", "timed",
]  # fmt: skip
