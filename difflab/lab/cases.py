"""What an experiment is: cases -> rows -> tables, figures, findings.

An experiment is one short file that defines `EXPERIMENT` and ends in `main(EXPERIMENT)`. It states
*what* is asked and measured; the runner owns seeds, storage, failures and parallel work, the report
owns the look. Everything after `measure` is a pure function of the table of rows.

Invariant: the numbers of a case depend on the case, on the experiment's name and on its version,
and on nothing else: not on other cases, on their order, or on how many run at once.

>>> EXPERIMENT = Experiment(
...     name="halving",
...     title="Halving",
...     question="How far does halving get?",
...     version=1,
...     cases=lambda preset: grid(steps=[1, 2], seed=preset.seeds),
...     measure=lambda case, rng: {"left": 0.5 ** case["steps"]},
... )
>>> len(case_list(EXPERIMENT, preset("quick")))
6
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import itertools
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from difflab.errors import ArgumentError, DomainError, UnknownNameError
from difflab.lab.blocks import Figure, Picture, Section, Table
from difflab.lab.results import Result
from difflab.lab.short import Short

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

T = TypeVar("T")
Case: TypeAlias = dict[str, Any]
Row: TypeAlias = dict[str, Any]

SEEDS = {"smoke": 2, "quick": 3, "full": 10}


@dataclass(frozen=True)
class Preset:
    """How much to measure: `smoke` (seconds, for CI), `quick` (a look) or `full` (to be cited).

    >>> small = preset("quick")
    >>> small.seeds, small.choose(smoke=1, quick=10, full=100)
    (range(0, 3), 10)
    """

    name: str
    seeds: range

    def choose(self, *, smoke: T, quick: T, full: T) -> T:
        """The value that belongs to this preset."""
        return {"smoke": smoke, "quick": quick, "full": full}[self.name]


def preset(name: str, seeds: int | None = None) -> Preset:
    """The preset of that name, with its own number of seeds unless another is given.

    >>> preset("full", seeds=4).seeds
    range(0, 4)
    """
    if name not in SEEDS:
        raise UnknownNameError("preset", name, SEEDS)
    if seeds is not None and seeds < 1:
        raise DomainError(f"{seeds} seeds were asked for", "give at least 1")
    return Preset(name, range(SEEDS[name] if seeds is None else seeds))


def _nothing(rows: pd.DataFrame) -> list[Any]:
    return []


@dataclass(frozen=True, kw_only=True, repr=False)
class Experiment(Short):
    """One question, how it is measured, and what is read off the rows.

    Parameters
    ----------
    name : the file's stem; folder of the report and part of every case's id
    version : raised by hand when `measure` changes its meaning; stored cases of others are not used
    cases : a preset -> the cases, plain JSON dicts (`grid` makes products)
    measure : a case and a generator -> one flat row or several; the case's own keys are added
    after : a preset and the finished rows of `cases`, without volatile columns -> further cases,
        such as the runs at the settings that the first ones chose; none by default
    results : the finished rows -> what they show about the claims (`difflab.lab.results`)
    figures, tables, sections : the finished rows -> what the page shows; the first figure opens it
    method, limitations : text, as in `Section`
    volatile : columns that differ from run to run (times): kept in timings.csv, not in rows.csv
    timed : whether a case measures time, so that it runs alone, on one core (or a test of the case)
    seeded_by : the case's keys that the generator depends on, all by default; leave out the method
        under test, and its comparison is paired: equal draws for each
    order : place on the front page
    """

    name: str
    title: str
    question: str
    version: int
    cases: Callable[[Preset], Iterable[Case]]
    measure: Callable[[Case, np.random.Generator], Row | Iterable[Row]]
    after: Callable[[Preset, pd.DataFrame], Iterable[Case]] | None = None
    sections: Callable[[pd.DataFrame], list[Section]] = _nothing
    tables: Callable[[pd.DataFrame], list[Table]] = _nothing
    figures: Callable[[pd.DataFrame], list[Figure | Picture]] = _nothing
    results: Callable[[pd.DataFrame], list[Result]] = _nothing
    method: str = ""
    limitations: str = ""
    volatile: tuple[str, ...] = ()
    timed: bool | Callable[[Case], bool] = False
    seeded_by: tuple[str, ...] | None = None
    order: int = 50

    @property
    def file(self) -> Path:
        """The file that defines the experiment: where its `measure` is written."""
        return Path(inspect.getfile(self.measure)).resolve()

    def is_timed(self, case: Case) -> bool:
        """Whether the case must run alone."""
        return self.timed(case) if callable(self.timed) else self.timed


def grid(**settings: Iterable[Any]) -> list[Case]:
    """Every combination of the settings, the last one varying fastest.

    >>> grid(method=["forward", "reverse"], size=[1, 2])[1]
    {'method': 'forward', 'size': 2}
    """
    combinations = itertools.product(*settings.values())
    return [dict(zip(settings, values, strict=True)) for values in combinations]


def canonical(value: object) -> str:
    """The one JSON text of a plain value: keys sorted, no spaces.

    >>> canonical({"b": (1, 2), "a": None})
    '{"a":null,"b":[1,2]}'
    """
    try:
        return json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (TypeError, ValueError) as reason:
        raise ArgumentError(
            f"a case is not plain JSON: {reason}",
            "use dict, list, str, int, float, bool and None; NumPy scalars have .item()",
        ) from None


def digest(*parts: object) -> str:
    """A SHA-256 hash of plain values, in hexadecimal.

    >>> digest("accuracy", 1)[:8]
    '8a35444e'
    """
    return hashlib.sha256(canonical(parts).encode()).hexdigest()


def generator(*parts: object) -> np.random.Generator:
    """A random generator whose seed is the hash of plain values.

    >>> int(generator("weights", 3).integers(100))
    9
    """
    import numpy as np

    return np.random.default_rng(int(digest(*parts), 16))


def case_generator(experiment: Experiment, case: Case) -> np.random.Generator:
    """The generator that `measure` gets for a case, seeded by the keys of `seeded_by`."""
    keys = case if experiment.seeded_by is None else experiment.seeded_by
    return generator(experiment.name, experiment.version, {key: case.get(key) for key in keys})


def case_list(experiment: Experiment, size: Preset) -> dict[str, Case]:
    """The preset's cases by id, in their own order, as the JSON that is stored."""
    return _by_id(experiment, experiment.cases(size))


def further_cases(experiment: Experiment, size: Preset, rows: pd.DataFrame) -> dict[str, Case]:
    """The cases that follow from the first ones' finished rows, by id; none of those again."""
    if experiment.after is None:
        return {}
    first = case_list(experiment, size)
    further = _by_id(experiment, experiment.after(size, rows))
    return {key: case for key, case in further.items() if key not in first}


def _by_id(experiment: Experiment, cases: Iterable[Case]) -> dict[str, Case]:
    """An id is sixteen hexadecimal digits that name a case of this experiment and version."""
    owner = (experiment.name, experiment.version)
    return {digest(*owner, case)[:16]: json.loads(json.dumps(case)) for case in cases}


def load(file: Path) -> Experiment:
    """The `EXPERIMENT` of a file."""
    folder = str(file.parent)
    if folder not in sys.path:  # files beside it can be imported, as when it runs as a script
        sys.path.append(folder)
    name = f"difflab_experiment_{file.stem}"
    spec = importlib.util.spec_from_file_location(name, file)
    if spec is None or spec.loader is None:
        raise ArgumentError(f"{file} is not a Python file", "give the path of an experiment")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    experiment = getattr(module, "EXPERIMENT", None)
    if not isinstance(experiment, Experiment) or experiment.name != file.stem:
        raise ArgumentError(
            f"{file} does not define EXPERIMENT = Experiment(name={file.stem!r}, ...)",
            "define it, or start the file's name with an underscore if it is a helper",
        )
    return experiment


def discover(folder: Path | None = None) -> dict[str, Experiment]:
    """All experiments of a folder (`experiments_folder`) by name, as on the front page."""
    files = (folder or experiments_folder()).glob("[!_]*.py")
    found = sorted(map(load, sorted(files)), key=lambda one: (one.order, one.name))
    return {experiment.name: experiment for experiment in found}


INSTALLED: Final = Path(__file__).resolve().parents[2] / "difflab_experiments"
"""Where a wheel puts the experiments: beside difflab, because they are code of the user's."""


def experiments_folder() -> Path:
    """The folder `experiments` beside the nearest pyproject.toml, else the one installed."""
    here = Path.cwd()
    for place in (here, *here.parents, *Path(__file__).resolve().parents):
        if (place / "pyproject.toml").is_file() and (place / "experiments").is_dir():
            return place / "experiments"
    if INSTALLED.is_dir():
        return INSTALLED
    raise ArgumentError(
        f"difflab has no experiments here: no folder 'experiments' beside a pyproject.toml at or "
        f"above {here}, and none installed beside the package",
        'pip install "difflab[lab]", or run inside a checkout of difflab',
    )
