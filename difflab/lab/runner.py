"""The runner: which cases a run has, and what becomes of them.

What flows: cases of the preset -> outcomes, from the store or measured, in any order, each stored
at once -> the cases that follow from their rows -> outcomes of these.

Invariant: the cases that follow are a function of the first ones' deterministic rows; they are
known only once every one of those is finished. Whatever stops a run, finished cases are kept, and
the next run measures only the rest.
"""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence

from difflab.errors import ArgumentError, DifflabError, DomainError, UnknownNameError
from difflab.lab.cases import Case, Experiment, Preset, canonical, case_list, further_cases
from difflab.lab.record import csv_texts, frame
from difflab.lab.store import Outcome, Store
from difflab.lab.workers import outcomes


class Selection:
    """The cases that ``--only`` asks for: several keys must all fit, values are alternatives.

    >>> Selection(["size=1", "size=2", "kind=a"]).fits({"size": 2, "kind": "a"})
    True
    """

    def __init__(self, choices: Sequence[str]) -> None:
        self.choices = choices
        self.wanted: dict[str, set[str]] = {}
        for choice in choices:
            name, equals, value = choice.partition("=")
            if not equals:
                raise ArgumentError(
                    f"--only {choice} is not KEY=VALUE", "write --only method=reverse"
                )
            self.wanted.setdefault(name, set()).add(value)

    def fits(self, case: Case) -> bool:
        """Whether the case has one of the values asked for of every key."""
        return all(_written(case.get(name)) in values for name, values in self.wanted.items())

    def __str__(self) -> str:
        return " and ".join(self.choices)


def settings(case: Case) -> str:
    """A case in a line.

    >>> settings({"method": "reverse", "layers": [3, 1]})
    'method=reverse layers=[3,1]'
    """
    return " ".join(f"{name}={_written(value)}" for name, value in case.items())


def _written(value: object) -> str:
    """A setting's value as ``--only`` writes it."""
    return value if isinstance(value, str) else canonical(value)


class Plan:
    """The cases of a run as far as they are known, with what became of them.

    Parameters
    ----------
    experiment, preset : whose cases
    store : of the finished ones
    only : settings of the cases to measure, as for `Selection`
    fresh : whether to measure them even if they are stored

    Raises
    ------
    DifflabError : no case can fit `only`
    """

    def __init__(
        self,
        experiment: Experiment,
        preset: Preset,
        store: Store,
        only: Sequence[str] = (),
        fresh: bool = False,
    ) -> None:
        self.experiment = experiment
        self.preset = preset
        self.store = store
        self.fresh = fresh
        self.selection = Selection(only)
        self.first = case_list(experiment, preset)
        self.further: dict[str, Case] | None = {} if experiment.after is None else None
        self.outcomes: dict[str, Outcome] = {}
        self.trouble = ""  # the traceback, if what follows could not be asked
        self._load(self.first)
        self._follow()
        self._check_selection()

    @property
    def cases(self) -> dict[str, Case]:
        """All cases that are known, in the order of the rows."""
        return {**self.first, **(self.further or {})}

    @property
    def chosen(self) -> dict[str, Case]:
        """Those of them that were selected."""
        return {key: case for key, case in self.cases.items() if self.selection.fits(case)}

    @property
    def tried(self) -> dict[str, Outcome]:
        """The outcomes that there are, in the order of the rows."""
        return {key: self.outcomes[key] for key in self.cases if key in self.outcomes}

    @property
    def failed(self) -> list[Outcome]:
        """Those of them that raised."""
        return [outcome for outcome in self.tried.values() if outcome.traceback]

    @property
    def unknown(self) -> str:
        """Why it is not known which cases follow, or nothing if it is known."""
        if self.further is not None:
            return ""
        if self.trouble:
            return "which cases follow could not be computed"
        return f"further cases follow from {self._unfinished()} that are missing"

    @property
    def incomplete(self) -> str:
        """What is missing, in words, or nothing."""
        tried, cases = len(self.outcomes), len(self.cases)
        if tried == cases and not self.unknown:
            return ""
        more = f"; {self.unknown}" if self.unknown else ""
        return f"{tried} of {cases} cases have been tried{more}."

    def measure(
        self,
        machine: dict[str, str],
        tell: Callable[[int, int], object],
        jobs: int | None = None,
        cluster: str = "",
    ) -> int:
        """Measure what is missing: first cases, then, if those are all finished, the others.

        Parameters
        ----------
        machine : where they are measured
        tell : is told how many are done, and of how many
        jobs, cluster : as for `outcomes`

        Returns
        -------
        How many were tried.
        """
        done = total = 0
        for stage in self._stages():
            total += len(stage)
            tell(done, total)
            with contextlib.closing(outcomes(self.experiment, stage, jobs, cluster)) as finishing:
                for key, outcome in finishing:
                    outcome.machine = machine
                    self.outcomes[key] = outcome
                    if not outcome.traceback:
                        self.store.save(key, outcome)
                    done += 1
                    tell(done, total)
        return done

    def _stages(self) -> Iterator[dict[str, Case]]:
        yield self._pending(self.first)
        self._follow()
        yield self._pending(self.further or {})

    def _pending(self, cases: Mapping[str, Case]) -> dict[str, Case]:
        return {
            key: case
            for key, case in cases.items()
            if key not in self.outcomes and self.selection.fits(case)
        }

    def _load(self, cases: Mapping[str, Case]) -> None:
        for key, case in cases.items():
            again = self.fresh and self.selection.fits(case)
            stored = None if again else self.store.load(key, case)
            if stored is not None:
                self.outcomes[key] = stored

    def _unfinished(self) -> int:
        """How many of the first cases are missing, or failed."""
        finished = {key for key, outcome in self.outcomes.items() if not outcome.traceback}
        return len(self.first.keys() - finished)

    def _follow(self) -> None:
        """Find the cases that follow, if that can be known now and is not known yet."""
        if self.further is not None or self._unfinished():
            return
        rows, _ = csv_texts(
            {key: self.outcomes[key] for key in self.first}, self.experiment.volatile
        )
        try:
            self.further = further_cases(self.experiment, self.preset, frame(rows))
        except DifflabError:
            raise
        except Exception:
            self.trouble = traceback.format_exc()
        else:
            self._load(self.further)

    def _check_selection(self) -> None:
        if self.unknown and self.cases and not self.chosen:
            raise DomainError(
                f"no case that is known yet fits {self.selection}: {self.unknown}",
                "measure those first, without --only",
            )
        known = {name for case in self.cases.values() for name in case}
        for name in self.selection.wanted:
            if name not in known:
                raise UnknownNameError("setting", name, known)
        if self.cases and not self.chosen:
            raise DomainError(f"no case fits {self.selection}", "--list shows the cases")
