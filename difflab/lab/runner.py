"""Runs experiments: measures the cases that are not stored, then writes rows and pages.

What flows: cases -> outcomes, in any order, each stored at once -> rows, in the order of the cases
-> a report folder. `main` is the command line of an experiment's file, `run_all` that of them all.

Invariant: whatever stops a run, finished cases are kept, and the next run measures only the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import shlex
import sys
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

from difflab.errors import DifflabError, UnknownNameError
from difflab.lab.backends import ClusterError, outcomes
from difflab.lab.experiment import INSTALLED, Experiment, discover
from difflab.lab.files import WriteError, alone_in
from difflab.lab.measure import provenance
from difflab.lab.options import Options, options_parser
from difflab.lab.plan import Plan, settings
from difflab.lab.records import Store
from difflab.lab.report import front_page, render
from difflab.lab.runs import save_run

if TYPE_CHECKING:
    from rich.progress import Progress

INTERRUPTED = 130
NOTES = 20
"""More notes than these would hide what else is printed."""


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> NoReturn:
    """The command line of an experiment's file; exits with 0, or 1 if a case or a plot failed."""
    parser = argparse.ArgumentParser(
        prog=f"python {experiment.file.name}",
        description=f"{experiment.title}: {experiment.question}",
        epilog="Finished cases are kept in .difflab/store, so that a run that was stopped resumes.",
        parents=[options_parser()],
    )
    try:
        options = Options.of(parser.parse_args(arguments))
    except DifflabError as reason:
        parser.error(f"{reason.what}; {reason.remedy}")
    raise SystemExit(_run_each([experiment], options, _program(experiment)))


def run_all(names: Sequence[str], options: Options, folder: Path | None = None) -> int:
    """Run the named experiments of a folder, or all of them; returns the exit code.

    >>> import tempfile
    >>> from difflab.lab.experiment import preset
    >>> run_all([], Options(preset=preset("smoke")), Path(tempfile.mkdtemp()))
    0
    """
    known = discover(folder)
    for name in names:
        if name not in known:
            raise UnknownNameError("experiment", name, known)
    chosen = [known[name] for name in names or known]
    return _run_each(chosen, options, ["difflab", "run", *names])


def _run_each(experiments: list[Experiment], options: Options, program: list[str]) -> int:
    """Run one after the other; what goes wrong with one does not keep the next from running."""
    codes = [0]
    try:
        for experiment in experiments:
            try:
                code = _list(experiment, options) if options.listing else run(experiment, options)
                codes.append(code)
            except DifflabError as reason:
                remedy = f"\n  remedy: {reason.remedy}" if reason.remedy else ""
                print(f"{experiment.name}: error: {reason.what}{remedy}", file=sys.stderr)
                codes.append(1)
                if isinstance(reason, WriteError | ClusterError):  # the next would meet it, too
                    break
            except Exception:  # a fault of the experiment's file
                print(f"{experiment.name}: error\n{traceback.format_exc()}", file=sys.stderr)
                codes.append(1)
    except KeyboardInterrupt:
        print("\ninterrupted; finished cases are kept", file=sys.stderr)
        codes.append(INTERRUPTED)
    if max(codes) == INTERRUPTED or (max(codes) and not options.listing):
        again = shlex.join([*program, *options.words(resume=True)])
        print(f"to measure what is missing:\n  {again}", file=sys.stderr)
    return max(codes)


# Where things are ---------------------------------------------------------------------------------


def _root(experiment: Experiment) -> Path:
    """The project that the experiment's file belongs to, or else the file's folder; where they are
    installed with difflab, the folder that one is in.
    """
    folder = experiment.file.parent
    if folder == INSTALLED:
        return Path.cwd()
    places = (folder, *folder.parents)
    return next((place for place in places if (place / "pyproject.toml").is_file()), folder)


def _program(experiment: Experiment) -> list[str]:
    if experiment.file.parent == INSTALLED:
        return ["difflab", "run", experiment.name]
    return ["python", experiment.file.relative_to(_root(experiment)).as_posix()]


def _output(experiment: Experiment, options: Options) -> Path:
    usual = {"full": "reports", "quick": "reports/quick", "smoke": ".difflab/smoke"}
    return options.output or _root(experiment) / usual[options.preset.name]


def _plan(experiment: Experiment, options: Options) -> Plan:
    folder = _root(experiment) / ".difflab" / "store" / experiment.name
    store = Store(folder, experiment, warn=_notes())
    fresh = options.fresh and not options.listing
    return Plan(experiment, options.preset, store, options.only, fresh)


def _notes() -> Callable[[str], None]:
    """Prints the first notes, and then only that there are more."""
    numbers = itertools.count(1)

    def note(text: str) -> None:
        number = next(numbers)
        if number <= NOTES:
            print(f"note: {text}", file=sys.stderr)
        elif number == NOTES + 1:
            print("note: and so are further files", file=sys.stderr)

    return note


# One experiment -----------------------------------------------------------------------------------


def run(experiment: Experiment, options: Options) -> int:
    """Measure what is missing, write the rows, render the pages; returns the exit code."""
    out = _output(experiment, options)
    folder = out / experiment.name
    plan = None if options.report else _plan(experiment, options)
    if plan is not None:
        _measure(plan, options)
    with alone_in(out):
        if plan is not None:
            save_run(folder, plan, shlex.join([*_program(experiment), *options.words()]))
        problems = render(experiment, folder)
        front_page(out, experiment.file.parent)
    for problem in problems:
        print(f"{experiment.name}: a part of the page failed\n{problem}", file=sys.stderr)
    print(f"{experiment.name}: see {folder / 'index.html'}")
    failed = plan is not None and bool(plan.failed or plan.trouble)
    # A choice of cases may lack what a table needs: the page says so, but nothing is at fault.
    return 1 if failed or (problems and not options.only) else 0


def _measure(plan: Plan, options: Options) -> None:
    """Measure what is missing of a plan, and say what became of it."""
    start = time.perf_counter()
    name = plan.experiment.name
    machine = provenance(_root(plan.experiment))
    measured = 0
    with _progress_bar() as bar:
        task = bar.add_task(name, total=0)
        for pending in plan.stages():
            measured += len(pending)
            bar.update(task, total=measured)
            finishing = outcomes(plan.experiment, pending, options.jobs, options.cluster)
            with contextlib.closing(finishing):
                for key, outcome in finishing:
                    outcome.machine = machine
                    plan.finish(key, outcome)
                    bar.advance(task)

    for outcome in plan.failed:
        what = outcome.traceback.rstrip().splitlines()[-1]
        print(f"{name}: failed: {settings(outcome.case)}: {what}", file=sys.stderr)
    if plan.trouble:
        print(f"{name}: {plan.unknown}\n{plan.trouble}", file=sys.stderr)
    failed, left = len(plan.failed), len(plan.cases) - len(plan.outcomes)
    print(
        f"{name}: {len(plan.cases)} cases, of which {len(plan.outcomes) - measured} stored, "
        f"{measured - failed} measured, {failed} failed, {left} left out; "
        f"{time.perf_counter() - start:.1f} s"
    )
    if plan.unknown:
        print(f"{name}: {plan.unknown}")


def _progress_bar() -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    return Progress(console=console, disable=not console.is_terminal, transient=True)


def _list(experiment: Experiment, options: Options) -> int:
    plan = _plan(experiment, options)
    seconds = []
    for key, case in plan.chosen.items():
        stored = plan.outcomes.get(key)
        seconds += [stored.seconds] if stored else []
        print(f"{key}  {f'{stored.seconds:8.2f} s' if stored else '    to do '}  {settings(case)}")
    cases = len(plan.chosen)
    left = cases - len(seconds)
    guess = f", about {left * sum(seconds) / len(seconds):.0f} s" if seconds and left else ""
    print(f"{experiment.name}: {cases} cases, {len(seconds)} stored, {left} to do{guess}")
    if plan.unknown:
        print(f"{experiment.name}: {plan.unknown}")
    return 0
