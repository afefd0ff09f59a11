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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from difflab.errors import ArgumentError, DifflabError, DomainError, UnknownNameError
from difflab.lab.cases import Case, Experiment, Preset, canonical, case_list, further_cases
from difflab.lab.record import csv_texts, frame
from difflab.lab.store import RESERVED, Outcome, Store
from difflab.lab.workers import kept_children, outcomes


def settings(case: Case) -> str:
    """A case in a line.

    >>> settings({"method": "reverse", "layers": [3, 1]})
    'method=reverse layers=[3,1]'
    """
    return " ".join(f"{name}={_written(value)}" for name, value in case.items())


def _written(value: object) -> str:
    """A setting's value as ``--only`` writes it."""
    return value if isinstance(value, str) else canonical(value)


@dataclass
class Plan:
    """The cases of a run as far as they are known, with what became of them.

    Cases that were chosen by `only` (several keys must all fit, several values of a key are
    alternatives) are measured unless they are stored, or anyhow if the run is to be `fresh`. It is
    an error (a `DifflabError`) if no case can fit.
    """

    experiment: Experiment
    preset: Preset
    store: Store
    only: Sequence[str] = ()
    fresh: bool = False

    def __post_init__(self) -> None:
        self.wanted: dict[str, set[str]] = {}
        for choice in self.only:
            name, equals, value = choice.partition("=")
            if not equals:
                raise ArgumentError(
                    f"--only {choice} is not KEY=VALUE", "write --only method=reverse"
                )
            self.wanted.setdefault(name, set()).add(value)
        self.cases = case_list(self.experiment, self.preset)  # as far as known, in order
        self.first = set(self.cases)
        self.complete = self.experiment.after is None  # whether all cases are known
        self.trouble = ""  # the traceback, if what follows could not be asked
        self.outcomes: dict[str, Outcome] = {}
        self._load(self.cases)
        self._follow()
        self._check_choice()

    def is_chosen(self, case: Case) -> bool:
        """Whether the case has one of the values asked for of every key."""
        return all(_written(case.get(name)) in values for name, values in self.wanted.items())

    @property
    def chosen(self) -> dict[str, Case]:
        """The cases that were asked for."""
        return {key: case for key, case in self.cases.items() if self.is_chosen(case)}

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
        if self.trouble and not self.complete:
            return "which cases follow could not be computed"
        missing = f"further cases follow from {self._unfinished()} that are missing"
        return "" if self.complete else missing

    @property
    def incomplete(self) -> str:
        """What is missing, in words, or nothing."""
        tried, cases, unknown = len(self.outcomes), len(self.cases), self.unknown
        if tried == cases and not unknown:
            return ""
        return f"{tried} of {cases} cases have been tried{unknown and f'; {unknown}'}."

    def measure(
        self, machine: dict[str, str], tell: Callable[[int, int], object],
        jobs: int | None = None, cluster: str = "",
    ) -> int:  # fmt: skip
        """Measure what is missing: first cases, then, if those are all finished, the others.

        `tell` hears how many are done, and of how many; returns how many were measured or failed.
        Jobs and cluster are as for `outcomes`, the machine is where this process runs.
        """
        done = 0
        with contextlib.ExitStack() as stack:
            told = (jobs, cluster, stack.enter_context(kept_children()))
            while pending := {k: case for k, case in self.chosen.items() if k not in self.outcomes}:
                total = done + len(pending)
                tell(done, total)
                finishing = outcomes(self.experiment, pending, *told)
                stack.callback(finishing.close)
                for key, outcome in finishing:
                    outcome.machine = machine
                    self.outcomes[key] = outcome
                    if not outcome.traceback:
                        self.store.save(key, outcome)
                    tell(done := done + 1, total)
                self._follow()
        return done

    def _load(self, cases: Mapping[str, Case]) -> None:
        for key, case in cases.items():
            if taken := {*RESERVED} & case.keys():
                what = f"a case may not set the column {min(taken)!r}"
                raise ArgumentError(what, "give it another name")
            again = self.fresh and self.is_chosen(case)
            if not again and (stored := self.store.load(key, case)):
                self.outcomes[key] = stored

    def _unfinished(self) -> int:
        """How many of the first cases are missing, or failed."""
        finished = {key for key, outcome in self.outcomes.items() if not outcome.traceback}
        return len(self.first - finished)

    def _follow(self) -> None:
        """Find the cases that follow, if that can be known now and is not known yet."""
        if self.complete or self._unfinished():
            return
        rows, _ = csv_texts(self.tried, self.experiment.volatile)
        try:
            further = further_cases(self.experiment, self.preset, frame(rows))
        except DifflabError:
            raise
        except (Exception, SystemExit):
            self.trouble = traceback.format_exc()
            return
        self.complete = True
        self.cases |= further
        self._load(further)

    def _check_choice(self) -> None:
        words = " and ".join(self.only)
        nothing = self.cases and not self.chosen
        if nothing and self.unknown:
            raise DomainError(
                f"no case that is known yet fits {words}: {self.unknown}",
                "measure those first, without --only",
            )
        known = {name for case in self.cases.values() for name in case}
        for name in self.wanted:
            if name not in known:
                raise UnknownNameError("setting", name, known)
        if nothing:
            raise DomainError(f"no case fits {words}", "--list shows the cases")
