"""The options of a run, on the command line and as a value."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path

from difflab.errors import DomainError
from difflab.lab.backends import cluster_address
from difflab.lab.experiment import SEEDS, Preset, preset


@dataclass(frozen=True, kw_only=True)
class Options:
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

    @classmethod
    def of(cls, arguments: argparse.Namespace) -> Options:
        """The options in what `options_parser` parsed."""
        if arguments.jobs == 0:
            raise DomainError("no case runs with --jobs 0", "give 1 or more, or -1 for each core")
        return cls(
            preset=preset(arguments.preset, arguments.seeds),
            seeds=arguments.seeds,
            output=arguments.output,
            jobs=arguments.jobs,
            cluster=arguments.cluster and cluster_address(arguments.cluster),
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
            words += ["--jobs", str(self.jobs)] if self.jobs is not None else []
            words += ["--cluster", self.cluster] if self.cluster else []
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
    add(
        "--jobs",
        type=int,
        metavar="N",
        help="cases at once (default: 1, on a cluster one for each of its workers; "
        "-1: one for each core); timed cases always run here, alone",
    )
    add(
        "--cluster",
        default="",
        metavar="ADDRESS",
        help="measure on a cluster: tcp://HOST:PORT (Dask's scheduler), ray or ray://HOST:PORT",
    )
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
