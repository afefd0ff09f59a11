"""Runs experiments: measures the cases that are not stored, then writes rows and pages.

What flows: cases -> outcomes, in any order, each stored at once -> rows, in the order of the cases
-> a report folder. `main` is the command line of an experiment's file, `run_all` that of them all.

Invariant: whatever stops a run, finished cases are kept, and the next run measures only the rest.
"""

from __future__ import annotations

import argparse
import contextlib
import copy
import functools
import json
import shlex
import sys
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from difflab.errors import ArgumentError, DifflabError, DomainError, UnknownNameError
from difflab.lab.experiment import (
    SEEDS,
    Case,
    Experiment,
    Preset,
    canonical,
    case_generator,
    case_list,
    discover,
    load,
    preset,
)
from difflab.lab.measure import one_blas_thread, one_core, provenance
from difflab.lab.records import Outcome, Store, flat_rows, save_rows, write
from difflab.lab.report import front_page, render

INTERRUPTED = 130


@dataclass(frozen=True, kw_only=True)
class Options:
    """What a run is asked to do; see `options_parser` for the meaning of each."""

    preset: Preset
    seeds: int | None = None
    output: Path | None = None
    jobs: int = 1
    fresh: bool = False
    report: bool = False
    listing: bool = False
    only: tuple[str, ...] = ()

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Options:
        """The options in what `options_parser` parsed."""
        return cls(
            preset=preset(arguments.preset, arguments.seeds),
            seeds=arguments.seeds,
            output=arguments.output,
            jobs=arguments.jobs,
            fresh=arguments.fresh,
            report=arguments.report,
            listing=arguments.list,
            only=tuple(arguments.only),
        )

    def words(self, *, resume: bool = False) -> list[str]:
        """The command-line words that ask for the same rows (and, to resume, in the same way)."""
        words = {"full": [], "quick": ["--quick"]}.get(
            self.preset.name, ["--preset", self.preset.name]
        )
        words = [*words, *(["--seeds", str(self.seeds)] if self.seeds else [])]
        if resume:
            words += ["--output", str(self.output)] if self.output else []
            words += ["--jobs", str(self.jobs)] if self.jobs != 1 else []
            words += [word for choice in self.only for word in ("--only", choice)]
        return words


def options_parser() -> argparse.ArgumentParser:
    """The options of a run, as a parent for argument parsers.

    >>> Options.of(options_parser().parse_args(["--quick", "--jobs", "2"])).jobs
    2
    """
    parser = argparse.ArgumentParser(add_help=False)
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument(
        "--preset", choices=SEEDS, default="full", help="how much to measure (default: full)"
    )
    amount.add_argument(
        "--quick", dest="preset", action="store_const", const="quick", help="--preset quick"
    )
    add = parser.add_argument
    seeds = ", ".join(f"{name} {count}" for name, count in SEEDS.items())
    add("--seeds", type=int, metavar="N", help=f"number of seeds (default: {seeds})")
    add("--jobs", type=int, default=1, metavar="N", help="cases at once (-1: one for each core)")
    add("--fresh", action="store_true", help="measure again what is stored")
    add("--report", action="store_true", help="measure nothing, only render the rows again")
    add(
        "--only",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="measure only cases with this setting; several keys must all fit, "
        "several values of a key are alternatives (the page shows all cases that are stored)",
    )
    add("--list", action="store_true", help="list the cases and estimate the time; measure nothing")
    add(
        "--output",
        type=Path,
        metavar="DIR",
        help="folder of the reports (default: reports, reports/quick or .difflab/smoke)",
    )
    return parser


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
        parser.error(reason.what)
    raise SystemExit(_run_each([experiment], options, _program(experiment)))


def run_all(names: Sequence[str], options: Options, folder: Path | None = None) -> int:
    """Run the named experiments of a folder, or all of them; returns the exit code.

    >>> import tempfile
    >>> run_all([], Options(preset=preset("smoke")), Path(tempfile.mkdtemp()))
    0
    """
    known = discover(folder)
    for name in names:
        if name not in known:
            raise UnknownNameError("experiment", name, known)
    chosen = [known[name] for name in names or known]
    return _run_each(chosen, options, ["python", "-m", "difflab", "run", *names])


def _run_each(experiments: list[Experiment], options: Options, program: list[str]) -> int:
    codes = [0]
    try:
        for experiment in experiments:
            code = _list(experiment, options) if options.listing else run(experiment, options)
            codes.append(code)
    except KeyboardInterrupt:
        print("\ninterrupted; finished cases are kept", file=sys.stderr)
        codes.append(INTERRUPTED)
    except DifflabError as reason:
        remedy = f"\n  remedy: {reason.remedy}" if reason.remedy else ""
        print(f"error: {reason.what}{remedy}", file=sys.stderr)
        codes.append(1)
    if max(codes) == INTERRUPTED or (max(codes) and not options.listing):
        again = shlex.join([*program, *options.words(resume=True)])
        print(f"to measure what is missing:\n  {again}", file=sys.stderr)
    return max(codes)


# Where things are ---------------------------------------------------------------------------------


def _root(experiment: Experiment) -> Path:
    """The project that the experiment's file belongs to, or else the file's folder."""
    folder = experiment.file.parent
    places = (folder, *folder.parents)
    return next((place for place in places if (place / "pyproject.toml").is_file()), folder)


def _program(experiment: Experiment) -> list[str]:
    return ["python", experiment.file.relative_to(_root(experiment)).as_posix()]


def _output(experiment: Experiment, options: Options) -> Path:
    usual = {"full": "reports", "quick": "reports/quick", "smoke": ".difflab/smoke"}
    return options.output or _root(experiment) / usual[options.preset.name]


def _store(experiment: Experiment) -> Store:
    folder = _root(experiment) / ".difflab" / "store" / experiment.name
    return Store(folder, experiment, warn=lambda text: print(f"note: {text}", file=sys.stderr))


# One experiment -----------------------------------------------------------------------------------


def run(experiment: Experiment, options: Options) -> int:
    """Measure what is missing, write the rows, render the pages; returns the exit code."""
    out = _output(experiment, options)
    folder = out / experiment.name
    failed = 0
    if not options.report:
        failed = _measure_all(experiment, options, folder)
    problems = render(experiment, folder)
    front_page(out)
    for problem in problems:
        print(f"{experiment.name}: a part of the page failed\n{problem}", file=sys.stderr)
    print(f"{experiment.name}: see {folder / 'index.html'}")
    # A choice of cases may lack what a table needs: the page says so, but nothing is at fault.
    return 1 if failed or (problems and not options.only) else 0


def _measure_all(experiment: Experiment, options: Options, folder: Path) -> int:
    start = time.perf_counter()
    cases = case_list(experiment, options.preset)
    chosen = _selected(cases, options.only)
    store = _store(experiment)
    outcomes = {}
    for key, case in cases.items():
        stored = None if options.fresh and key in chosen else store.load(key, case)
        if stored is not None:
            outcomes[key] = stored
    kept = len(outcomes)
    pending = {key: case for key, case in chosen.items() if key not in outcomes}
    machine = provenance(_root(experiment))
    finishing = _outcomes(experiment, pending, options.jobs)
    for key, outcome in _progress(finishing, experiment.name, len(pending)):
        outcome.machine = machine
        outcomes[key] = outcome
        if not outcome.traceback:
            store.save(key, outcome)

    ordered = {key: outcomes[key] for key in cases if key in outcomes}
    failed = [key for key in ordered if ordered[key].traceback]
    change = save_rows(folder, ordered, experiment.volatile)
    _save_run(folder, experiment, options, ordered, len(cases), change)
    for key in failed:
        what = ordered[key].traceback.rstrip().splitlines()[-1]
        print(f"{experiment.name}: failed: {_settings(ordered[key].case)}: {what}", file=sys.stderr)
    print(
        f"{experiment.name}: {len(cases)} cases, of which {kept} stored, "
        f"{len(pending) - len(failed)} measured, {len(failed)} failed, "
        f"{len(cases) - len(outcomes)} left out; {time.perf_counter() - start:.1f} s"
    )
    return len(failed)


def _save_run(
    folder: Path,
    experiment: Experiment,
    options: Options,
    outcomes: Mapping[str, Outcome],
    cases: int,
    change: str,
) -> None:
    """Write provenance.json: what the page says about the run that the rows came from."""
    path = folder / "provenance.json"
    if not change and path.is_file():  # equal rows: what they changed when they came still holds
        change = json.loads(path.read_bytes())["change"]
    machines = [outcome.machine for outcome in outcomes.values()]
    facts = dict.fromkeys(name for machine in machines for name in machine)
    described = {name: _span([m[name] for m in machines if name in m]) for name in facts}
    record = {
        "preset": options.preset.name,
        "seeds": len(options.preset.seeds),
        "cases": cases,
        "measured": len(outcomes),
        "command": shlex.join([*_program(experiment), *options.words()]),
        "change": change,
        "machine": described,
    }
    write(path, json.dumps(record, indent=1) + "\n")


def _span(values: list[str]) -> str:
    """One text for a fact of several runs: the value, or the few there are, or first and last."""
    distinct = sorted(set(values))
    return ", ".join(distinct) if len(distinct) <= 3 else f"{distinct[0]} ... {distinct[-1]}"


def _selected(cases: Mapping[str, Case], only: Sequence[str]) -> dict[str, Case]:
    wanted: dict[str, set[str]] = {}
    known = {name for case in cases.values() for name in case}
    for choice in only:
        name, equals, value = choice.partition("=")
        if not equals:
            raise ArgumentError(f"--only {choice} is not KEY=VALUE", "write --only method=reverse")
        if name not in known:
            raise UnknownNameError("setting", name, known)
        wanted.setdefault(name, set()).add(value)
    chosen = {
        key: case
        for key, case in cases.items()
        if all(_word(case.get(name)) in values for name, values in wanted.items())
    }
    if cases and not chosen:
        raise DomainError(f"no case fits {' and '.join(only)}", "--list shows the cases")
    return chosen


def _word(value: object) -> str:
    return value if isinstance(value, str) else canonical(value)


def _settings(case: Case) -> str:
    return " ".join(f"{name}={_word(value)}" for name, value in case.items())


def _list(experiment: Experiment, options: Options) -> int:
    cases = _selected(case_list(experiment, options.preset), options.only)
    store = _store(experiment)
    seconds = []
    for key, case in cases.items():
        stored = store.load(key, case)
        seconds += [stored.seconds] if stored else []
        print(f"{key}  {f'{stored.seconds:8.2f} s' if stored else '    to do '}  {_settings(case)}")
    left = len(cases) - len(seconds)
    guess = f", about {left * sum(seconds) / len(seconds):.0f} s" if seconds and left else ""
    print(f"{experiment.name}: {len(cases)} cases, {len(seconds)} stored, {left} to do{guess}")
    return 0


# Measuring ----------------------------------------------------------------------------------------


def attempt(experiment: Experiment, case: Case) -> Outcome:
    """Measure a case; an exception becomes an outcome without rows.

    Linear algebra runs on one thread, so that the order of its sums, and with it the rows, does not
    depend on how many cases run at once.

    >>> thrice = Experiment(name="thrice", title="", question="", version=1,
    ...     cases=lambda preset: [], measure=lambda case, rng: {"triple": 3 * case["x"]})
    >>> attempt(thrice, {"x": 2}).rows
    [{'triple': 6}]
    """
    start = time.perf_counter()
    rows, failure = [], ""
    try:
        with one_blas_thread():
            measured = experiment.measure(copy.deepcopy(case), case_generator(experiment, case))
            rows = flat_rows(measured, case)
    except Exception as reason:
        inner = reason.__traceback__.tb_next if reason.__traceback__ else None
        failure = "".join(traceback.format_exception(type(reason), reason, inner))
    return Outcome(case, rows, time.perf_counter() - start, failure)


def _outcomes(
    experiment: Experiment, pending: Mapping[str, Case], jobs: int
) -> Iterator[tuple[str, Outcome]]:
    """The outcomes as they finish: cases that may share the machine first, then the timed ones."""
    timed = {key: case for key, case in pending.items() if experiment.is_timed(case)}
    shared = {key: case for key, case in pending.items() if key not in timed}
    if jobs == 1 or len(shared) < 2:
        yield from ((key, attempt(experiment, case)) for key, case in shared.items())
    else:
        yield from _parallel(experiment, shared, jobs)
    with one_core():
        yield from ((key, attempt(experiment, case)) for key, case in timed.items())


def _parallel(
    experiment: Experiment, cases: Mapping[str, Case], jobs: int
) -> Iterator[tuple[str, Outcome]]:
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    workers = joblib.Parallel(
        n_jobs=jobs, return_as="generator_unordered", batch_size=1, pre_dispatch="2*n_jobs"
    )
    task = joblib.delayed(_attempt_in_worker)
    try:
        yield from workers(task(experiment.file, key, case) for key, case in cases.items())
    except TerminatedWorkerError:
        raise ArgumentError(
            "a worker process died, perhaps for want of memory", "use fewer --jobs"
        ) from None


def _attempt_in_worker(file: Path, key: str, case: Case) -> tuple[str, Outcome]:
    import signal

    with contextlib.suppress(ValueError):  # a worker that is a thread cannot, and need not
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    return key, attempt(_loaded(file), case)


_loaded = functools.cache(load)


def _progress(
    outcomes: Iterator[tuple[str, Outcome]], description: str, total: int
) -> Iterator[tuple[str, Outcome]]:
    """The outcomes, with a progress bar on a terminal."""
    from rich.console import Console
    from rich.progress import track

    console = Console(stderr=True)
    yield from track(
        outcomes,
        description=description,
        total=total,
        console=console,
        disable=not console.is_terminal,
        transient=True,
    )
