"""Every experiment runs end to end, and says what was published."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from difflab.lab.cases import discover, preset
from difflab.lab.claims import CHECKS, FINDINGS, claims
from difflab.lab.command import Options, run
from difflab.lab.findings import NOT_JUDGED

FOLDER = Path(__file__).parents[2] / "experiments"
EXPERIMENTS = discover(FOLDER)


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_runs_from_measuring_to_its_page(name: str, tmp_path: Path) -> None:
    options = Options(preset=preset("smoke"), output=tmp_path, fresh=True)
    assert run(EXPERIMENTS[name], options) == 0
    folder = tmp_path / name
    summary = json.loads((folder / "summary.json").read_bytes())
    assert summary["failed"] == 0
    own = {claim.id for claim in claims(FOLDER).values() if claim.experiment == name}
    assert {finding["id"] for finding in summary["findings"]} == own
    verdicts = {finding["verdict"] for finding in summary["findings"]} - {NOT_JUDGED}
    assert verdicts, "an experiment judges at least one claim"
    assert verdicts <= {*FINDINGS, *CHECKS}
    page = (folder / "index.html").read_text()
    assert EXPERIMENTS[name].question in page
    assert (folder / "README.md").is_file()
    assert all(figure.read_bytes() for figure in folder.glob("*.svg"))


@pytest.mark.parametrize("name", EXPERIMENTS)
@pytest.mark.parametrize("size", ["smoke", "quick", "full"])
def test_the_cases_of_every_preset_differ(name: str, size: str) -> None:
    cases = list(EXPERIMENTS[name].cases(preset(size)))
    assert cases
    assert len({json.dumps(case, sort_keys=True) for case in cases}) == len(cases)
