"""The command line of a run: its options, what it prints, and its exit code.

What flows: options -> a plan for each experiment, measured -> its record -> its page and the front
page. `main` is the command line of an experiment's file, `run_all` that of them all.

Invariant: whatever goes wrong is said in words, with the command that measures what is missing.
"""

from __future__ import annotations

import _thread
import argparse
import contextlib
import functools
import json
import os
import re
import shlex
import signal
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from difflab.errors import ArgumentError, DifflabError, DomainError, UnknownNameError
from difflab.lab.cases import (
    INSTALLED,
    SEEDS,
    Experiment,
    Preset,
    discover,
    experiments_folder,
    preset,
)  # fmt: skip
from difflab.lab.claims import claims
from difflab.lab.findings import Plain, here, shown
from difflab.lab.front import front_page
from difflab.lab.machine import provenance
from difflab.lab.page import render
from difflab.lab.record import save_run
from difflab.lab.runner import Plan, settings
from difflab.lab.short import Short
from difflab.lab.store import Store, WriteError, alone_in
from difflab.lab.workers import ClusterError, cluster_address

INTERRUPTED, TERMINATED = 130, 143
TONES: Final = {
    31: r"\b([1-9]\d* failed|(\d+ )?(not reproduced here|contradicted|fails))\b(?=[,;\n]|$)",
    32: r"(?<=[:,] )(\d+ )?(reproduced|holds)\b(?=[,;\n]|$)",
    33: r"(?<=[:,] )(\d+ )?(partly|depends|undecided)\b(?=[,;\n]|$)",
}
"""By colour, red, green and yellow, the words that have it: counts, and verdicts after a colon."""
EPILOG = """\
examples:
  COMMAND --quick --jobs 2            a look, two cases at once
  COMMAND --list                      the cases, and how long the rest will take
  COMMAND --claim ID                  one claim again, and its verdict
  COMMAND --report --single-file      pages again, from the rows that are there
  COMMAND --json | jq .experiments    what became of them, for a program

Finished cases are kept in .difflab/store, so that a run that was stopped resumes.
The exit code is 1 if a case or a part of a page failed, whatever the verdicts are."""


@dataclass(frozen=True, kw_only=True, repr=False)
class Options(Short):
    """What a run is asked to do; see `options_parser` for the meaning of each."""

    preset: Preset
    seeds: int | None = None
    output: Path | None = None
    jobs: int | None = None
    cluster: str = ""
    fresh: bool = False
    report: bool = False
    listing: bool = False
    only: tuple[str, ...] = ()
    claim: str = ""
    single_file: bool = False
    json: bool = False

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Options:
        """The options in what `options_parser` parsed."""
        if arguments.jobs == 0:
            raise DomainError("no case runs with --jobs 0", "give 1 or more, or -1 for each core")
        same = ("seeds", "output", "jobs", "fresh", "report", "listing", "claim", "single_file",
                "json")  # fmt: skip
        return cls(
            preset=preset(arguments.preset, arguments.seeds),
            cluster=arguments.cluster and cluster_address(arguments.cluster),
            only=tuple(arguments.only),
            **{name: getattr(arguments, name) for name in same},
        )

    def arguments(self, *, resume: bool = False) -> list[str]:
        """The words that ask for the same rows (and, to resume, in the same way)."""
        name = self.preset.name
        words = {"full": [], "quick": ["--quick"]}.get(name, ["--preset", name])
        pairs: list[tuple[str, object]] = [("--seeds", self.seeds)]
        if resume:
            pairs += [("--output", self.output), ("--jobs", self.jobs), ("--cluster", self.cluster)]
            pairs += [("--claim", self.claim), *(("--only", choice) for choice in self.only)]
        return [*words, *(str(part) for pair in pairs if pair[1] for part in pair)]


def options_parser() -> argparse.ArgumentParser:
    """The options of a run, as a parent for argument parsers.

    >>> Options.of(options_parser().parse_args(["--quick", "--jobs", "2"])).jobs
    2
    """
    parser = argparse.ArgumentParser(add_help=False)
    seeds = ", ".join(f"{name} {count}" for name, count in SEEDS.items())
    # fmt: off
    add = parser.add_argument_group("what to measure").add_argument
    amount = parser.add_mutually_exclusive_group()
    amount.add_argument("--preset", choices=SEEDS, default="full",
        help="how much: full is to be cited, quick for a look, smoke for a trial (default: full)")
    amount.add_argument("--quick", dest="preset", action="store_const", const="quick",
        help="--preset quick")
    add("--seeds", type=int, metavar="N", help=f"number of seeds (default: {seeds})")
    add("--claim", default="", metavar="ID",
        help="regenerate one claim of claims.toml: run the experiment that judges it, and print "
        "its verdict, its intervals beside the source's figure, its rule and its page")
    add("--only", action="append", default=[], metavar="KEY=VALUE",
        help="measure only cases with this setting; several keys must all fit, "
        "several values of a key are alternatives (the page shows all cases that are stored)")
    add("--fresh", action="store_true", help="measure again what is stored")
    add("--list", dest="listing", action="store_true",
        help="list the cases and estimate the time; measure nothing")
    add = parser.add_argument_group("how to measure").add_argument
    add("--jobs", type=int, metavar="N",
        help="cases at once (default: 1, on a cluster one for each of its workers; "
        "-1: one for each core); timed cases always run here, alone")
    add("--cluster", default="", metavar="ADDRESS",
        help="measure on a cluster: tcp://HOST:PORT (Dask's scheduler), ray or ray://HOST:PORT")
    add = parser.add_argument_group("what to write").add_argument
    add("--report", action="store_true", help="measure nothing, only render the rows again")
    add("--single-file", action="store_true",
        help="a page holds its images, to be sent as one file")
    add("--json", action="store_true",
        help="print one JSON object, experiments with status, verdicts and page; text is on stderr")
    add("--output", type=Path, metavar="DIR",
        help="folder of the reports (default: reports, reports/quick or .difflab/smoke)")
    # fmt: on
    return parser


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> NoReturn:
    """The command line of an experiment's file; exits with 0, or 1 if a case or a plot failed."""
    parser = argparse.ArgumentParser(
        prog=(program := f"python {experiment.file.name}"),
        description=f"{experiment.title}: {experiment.question}",
        epilog=EPILOG.replace("COMMAND", program), parents=[options_parser()],
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    try:
        options = Options.of(parser.parse_args(arguments))
        judge = options.claim and _judge(options.claim, experiment.file.parent)
        if judge and judge != experiment.name:
            what = f"{options.claim} is a claim of {judge}, not of {experiment.name}"
            raise ArgumentError(what, f"difflab run --claim {options.claim}")
    except DifflabError as reason:
        parser.error(f"{reason.what}; {reason.remedy}")
    raise SystemExit(_run_each([experiment], options, _program(experiment)))


def run_all(names: Sequence[str], options: Options, folder: Path | None = None) -> int:
    """Run the named experiments of a folder, or all of them; returns the exit code.

    >>> import tempfile
    >>> run_all([], Options(preset=preset("smoke")), Path(tempfile.mkdtemp()))
    0
    """
    with _all_on_stderr() if options.json else contextlib.nullcontext():
        known = discover(folder)
    if options.claim:
        names = [*names, _judge(options.claim, folder or experiments_folder())]
    for name in names:
        if name not in known:
            raise UnknownNameError("experiment", name, known)
    chosen = [known[name] for name in dict.fromkeys(names or known)]
    return _run_each(chosen, options, ["difflab", "run", *names])


def _judge(claim: str, folder: Path) -> str:
    """The name of the experiment that judges a claim."""
    known = claims(folder)
    if claim not in known:
        raise UnknownNameError("claim", claim, known)
    return known[claim].experiment


def claim_words(finding: Plain, page: Path) -> str:
    """A claim's verdict, and all that it follows from, as lines for a terminal."""
    source = "; ".join(source["text"] for source in finding["sources"])
    lines = [f"{finding['id']}: {finding['verdict']}", f"  {finding['claim']}"]
    told = [("here", here(finding) or "not judged in this run")]
    if not finding["count"]:
        told += [(p["name"] or "n", f"{shown(p)}, n = {p['n']} of {p['planned']}: {p['verdict']}")
                 for p in finding["parts"]]  # fmt: skip
    told += [("source's figure", finding["reported"] or "none"), ("rule", finding["rule"])]
    told += [("ours", finding["ours"]), ("note", "; ".join(finding["badges"]))]
    told += [("source", source), ("page", f"{page}#{finding['id']}")]
    return "\n".join([*lines, *(f"  {name}: {text}" for name, text in told if text)])


class Terminated(KeyboardInterrupt):
    """SIGTERM, which stops a run as Ctrl-C does."""


def _terminate(*_: object) -> NoReturn:
    raise Terminated


@contextlib.contextmanager
def _hearing_stops() -> Iterator[None]:
    """Inside, SIGTERM is heard, unless somebody hears it already; it and Ctrl-C are sent again
    where they fell into a finalizer, in which Python ignores exceptions.
    """
    before, usual = signal.getsignal(signal.SIGTERM), sys.unraisablehook

    def hook(ignored: sys.UnraisableHookArgs) -> None:
        if not issubclass(ignored.exc_type, KeyboardInterrupt):
            usual(ignored)
            return
        sent = signal.SIGTERM if issubclass(ignored.exc_type, Terminated) else signal.SIGINT
        again: Any = functools.partial(_thread.interrupt_main, sent)
        if hasattr(signal, "pthread_kill"):  # wakes a main thread that waits, too
            main = threading.main_thread().ident or 0
            again = functools.partial(signal.pthread_kill, main, sent)
        threading.Timer(0.05, again).start()

    with contextlib.suppress(ValueError):  # a thread cannot
        if before is signal.SIG_DFL:
            signal.signal(signal.SIGTERM, _terminate)
    sys.unraisablehook = hook
    try:
        yield
    finally:
        sys.unraisablehook = usual
        with contextlib.suppress(ValueError):
            signal.signal(signal.SIGTERM, before)


@contextlib.contextmanager
def _all_on_stderr() -> Iterator[None]:
    """Inside, whatever is printed, by this process or a child, goes to standard error."""
    sys.stdout.flush()
    kept = os.dup(1)
    os.dup2(2, 1)
    try:
        with contextlib.redirect_stdout(sys.stderr):
            yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)


def _run_each(experiments: list[Experiment], options: Options, program: list[str]) -> int:
    """Run one after the other, and print what became of them as JSON, if that is asked for."""
    told: list[dict[str, Any]] = []
    if not options.json:
        return _each(experiments, options, program, told)
    with _all_on_stderr():
        code = _each(experiments, options, program, told)
    print(json.dumps({"exit_code": code, "experiments": told}, indent=2, allow_nan=False))
    return code


@_hearing_stops()
def _each(
    experiments: list[Experiment], options: Options, program: list[str], told: list[dict[str, Any]]
) -> int:
    """Run one after the other; what goes wrong with one does not keep the next from running."""
    codes = [0]
    try:
        for experiment in experiments:
            told.append({"name": experiment.name, "status": "stopped"})
            try:
                does = _list if options.listing else run
                codes.append(does(experiment, options, told[-1]))
                told[-1]["status"] = "failed" if codes[-1] else "ok"
            except DifflabError as reason:
                told[-1] |= {"status": "error", "error": reason.what}
                remedy = f"\n  remedy: {reason.remedy}" if reason.remedy else ""
                _warn(f"{experiment.name}: error: {reason.what}{remedy}")
                codes.append(1)
                if isinstance(reason, WriteError | ClusterError):  # the next would meet it, too
                    break
            except (Exception, SystemExit) as fault:  # of the experiment's file
                told[-1] |= {"status": "error", "error": f"{type(fault).__name__}: {fault}"}
                _warn(f"{experiment.name}: error\n{traceback.format_exc()}")
                codes.append(1)
    except KeyboardInterrupt as stop:
        ended = isinstance(stop, Terminated)
        _warn(f"\n{'terminated' if ended else 'interrupted'}; finished cases are kept")
        codes.append(TERMINATED if ended else INTERRUPTED)
    if max(codes) >= INTERRUPTED or (max(codes) and not options.listing):
        again = shlex.join([*program, *options.arguments(resume=True)])
        _warn(f"to measure what is missing:\n  {again}")
    return max(codes)


def run(experiment: Experiment, options: Options, told: dict[str, Any] | None = None) -> int:
    """Measure what is missing, write the rows, render the pages; returns the exit code.

    What became of it is added to `told`, in JSON's terms.
    """
    told = {} if told is None else told
    usual = {"full": "reports", "quick": "reports/quick", "smoke": ".difflab/smoke"}
    out = options.output or _root(experiment) / usual[options.preset.name]
    folder = out / experiment.name
    plan = None if options.report else _plan(experiment, options)
    if plan is not None:
        told |= _measure(plan, options)
    with alone_in(out):
        if plan is not None:
            command = shlex.join([*_program(experiment), *options.arguments()])
            known = {"cases": len(plan.cases), "incomplete": plan.incomplete, "command": command}
            save_run(folder, experiment, plan.preset, plan.tried, known)
        problems = render(experiment, folder, options.single_file)
        front_page(out, experiment.file.parent)
    for problem in problems:
        _warn(f"{experiment.name}: a part of the page failed\n{problem}")
    page = folder / "index.html"
    findings = json.loads((folder / "summary.json").read_bytes())["findings"]
    counts = Counter(finding["verdict"] for finding in findings)
    told |= {"verdicts": counts, "report": str(page)}
    if counts:
        verdicts = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        _say(f"{experiment.name}: {verdicts}")
    _say(f"{experiment.name}: see {page}")
    for finding in findings:
        if finding["id"] == options.claim:
            _say(claim_words(finding, page))
    failed = plan is not None and bool(plan.failed or plan.trouble)
    # A choice of cases may lack what a table needs: the page says so, but nothing is at fault.
    return 1 if failed or (problems and not options.only) else 0


def _plan(experiment: Experiment, options: Options) -> Plan:
    folder = _root(experiment) / ".difflab" / "store" / experiment.name
    store = Store(folder, experiment, warn=lambda text: _warn(f"note: {text}"))
    fresh = options.fresh and not options.listing
    return Plan(experiment, options.preset, store, options.only, fresh)


def _measure(plan: Plan, options: Options) -> dict[str, Any]:
    """Measure what is missing of a plan, with a bar on a terminal; say what became of it."""
    from rich.console import Console
    from rich.progress import Progress

    start = time.perf_counter()
    name, console = plan.experiment.name, Console(stderr=True)
    machine = provenance(_root(plan.experiment))
    off = not (sys.stderr.isatty() and console.is_interactive)  # FORCE_COLOR makes no terminal
    with Progress(
        console=console, disable=off, transient=True, redirect_stdout=False, redirect_stderr=False,
        auto_refresh=False,  # else its thread may hold a lock while a child is forked
    ) as bar:  # fmt: skip
        task = bar.add_task(name, total=0)
        tell = lambda done, total: bar.update(task, completed=done, total=total, refresh=True)
        measured = plan.measure(machine, tell, options.jobs, options.cluster)
    for outcome in plan.failed:
        what = outcome.traceback.rstrip().splitlines()[-1]
        _warn(f"{name}: failed: {settings(outcome.case)}: {what}")
    if plan.trouble:
        _warn(f"{name}: {plan.unknown}\n{plan.trouble}")
    failed, seconds = len(plan.failed), time.perf_counter() - start
    counts = {"stored": len(plan.outcomes) - measured, "measured": measured - failed}
    counts |= {"failed": failed, "left out": len(plan.cases) - len(plan.outcomes)}
    words = ", ".join(f"{count} {what}" for what, count in counts.items())
    _say(f"{name}: {len(plan.cases)} cases, of which {words}; {seconds:.1f} s")
    if plan.unknown:
        print(f"{name}: {plan.unknown}")
    facts = {what.replace(" ", "_"): count for what, count in counts.items()}
    return {"cases": len(plan.cases), **facts, "seconds": round(seconds, 3)}


def _list(experiment: Experiment, options: Options, told: dict[str, Any]) -> int:
    plan = _plan(experiment, options)
    seconds = {key: plan.outcomes[key].seconds for key in plan.chosen if key in plan.outcomes}
    for key, case in plan.chosen.items():
        known = f"{seconds[key]:8.2f} s" if key in seconds else "    to do "
        print(f"{key}  {known}  {settings(case)}")
    cases, stored = len(plan.chosen), len(seconds)
    told |= {"cases": cases, "stored": stored}
    guess = (cases - stored) * sum(seconds.values()) / max(stored, 1)
    words = f", about {guess:.0f} s" if 0 < stored < cases else ""
    print(f"{experiment.name}: {cases} cases, {stored} stored, {cases - stored} to do{words}")
    if plan.unknown:
        print(f"{experiment.name}: {plan.unknown}")
    return 0


def _root(experiment: Experiment) -> Path:
    """The project of the experiment's file, or its folder; of an installed one, where one is."""
    folder = experiment.file.parent
    if folder == INSTALLED:
        return Path.cwd()
    above = (folder, *folder.parents)
    return next((place for place in above if (place / "pyproject.toml").is_file()), folder)


def _program(experiment: Experiment) -> list[str]:
    if experiment.file.parent == INSTALLED:
        return ["difflab", "run", experiment.name]
    return ["python", experiment.file.relative_to(_root(experiment)).as_posix()]


def _say(text: str) -> None:
    """Print a text, its verdicts and failures in colour where standard output takes colours."""
    from rich.console import Console

    console = Console(force_jupyter=False)
    if console.color_system and not console.no_color:
        for tone, words in TONES.items():
            text = re.sub(words, rf"\033[{tone}m\g<0>\033[0m", text)
    print(text)


def _warn(text: str) -> None:
    print(text, file=sys.stderr)
