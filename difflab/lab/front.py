"""The front page of a folder of reports: one picture, surprises, the lecture, every claim.

What flows: the summary.json of each report, claims.toml and lecture.toml -> findings that know
their page -> what `front.html` and `front.md` show.

Invariant: nothing on it is typed but the lecture's sentences; marks, figures and counts follow from
the findings. A claim without a report is listed as not judged.
"""

from __future__ import annotations

import contextlib
import math
import tomllib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from difflab.errors import DifflabError, UnknownNameError
from difflab.lab.claims import CHECKS, FINDINGS, claims
from difflab.lab.findings import NOT_JUDGED, Plain, plain, surviving
from difflab.lab.intervals import CONFIDENCE
from difflab.lab.page import data_uri, descriptive, filled, write_pages
from difflab.lab.record import json_object
from difflab.lab.store import read

LECTURE = "lecture.toml"
WORDS = (*FINDINGS, *CHECKS, NOT_JUDGED)
KINDS = {"finding": FINDINGS, "check": CHECKS}
WIDEST = 10.0
"""A ratio further from 1 is drawn at the axis's end; its number says how far it is."""


def front_page(out: Path, experiments: Path | None = None) -> None:
    """Render the front page of the reports in a folder.

    `experiments` holds claims.toml and lecture.toml; of neither is anything known without it. It is
    an `UnknownNameError` if lecture.toml names a claim that claims.toml does not have.
    """
    summaries = []
    for path in out.glob("*/summary.json"):
        found = json_object(path)
        if found.get("name") == path.parent.name and isinstance(found.get("order"), int):
            summaries.append(found)
    summaries.sort(key=lambda summary: (summary["order"], summary["name"]))
    try:
        write_pages("front", out, _content(out, summaries, experiments))
    except DifflabError:
        raise
    except Exception:  # files that no run wrote: reports of which no page can be made count as none
        usable = [one for one in summaries if _is_usable(out, one, experiments)]
        if len(usable) == len(summaries):
            raise
        write_pages("front", out, _content(out, usable, experiments))


def _is_usable(out: Path, summary: Mapping[str, Any], experiments: Path | None) -> bool:
    with contextlib.suppress(Exception):
        return bool(filled("front", _content(out, [summary], experiments)))
    return False


def _content(
    out: Path, summaries: Sequence[Mapping[str, Any]], experiments: Path | None
) -> dict[str, Any]:
    """What the page shows."""
    findings = _findings(summaries, experiments)
    known = {finding["id"]: finding for finding in findings}
    lecture = _lecture(experiments, known)
    judging = dict.fromkeys(finding["experiment"] for finding in findings)
    return {
        "summaries": summaries,
        "picture": _picture(out, summaries, lecture["front"].get("picture")),
        "surprises": [known[name] for name in lecture["front"].get("surprises", ())],
        "topics": _topics(lecture["line"], known),
        "forest": _forest(findings), "errors": _errors(findings),
        "groups": {kind: _groups(findings, kind) for kind in KINDS},
        "filters": {"verdict": WORDS, "kind": KINDS, "experiment": judging},
        "counts": {kind: _counts(findings, kind) for kind in KINDS},
        "descriptive": _small_runs(summaries),
    }  # fmt: skip


def _findings(summaries: Iterable[Mapping[str, Any]], experiments: Path | None) -> list[Plain]:
    """All findings in the order of the pages, each with its page; then claims without a report."""
    known = claims(experiments) if experiments else {}
    found: dict[str, Plain] = {}
    for summary in summaries:
        own = {"experiment": summary["name"], "title": summary["title"], "page": summary["name"]}
        for finding in summary["findings"]:
            # A report that an older version rendered may hold findings of another form.
            if finding.keys() >= {"id", "kind", "parts"} and (not known or finding["id"] in known):
                found[finding["id"]] = {**finding, **own}
    for claim in known.values():
        own = {"experiment": claim.experiment, "title": claim.experiment, "page": ""}
        found.setdefault(claim.id, {**plain(claim), **own})
    alive = surviving(found.values())
    for finding in found.values():
        finding["chance"] = _decided(finding) and finding["id"] not in alive
    return list(found.values())


def _decided(finding: Plain) -> bool:
    return finding["p"] is not None and finding["verdict"] not in ("undecided", NOT_JUDGED)


def _lecture(experiments: Path | None, known: Mapping[str, Plain]) -> dict[str, Any]:
    path = experiments / LECTURE if experiments else None
    text = path.read_text(encoding="utf-8") if path and path.is_file() else ""
    told = {"front": {}, "line": [], **tomllib.loads(text)}
    for line in ({"claims": told["front"].get("surprises", ())}, *told["line"]):
        for name in line.get("claims", ()):
            if name not in known:
                raise UnknownNameError(f"claim in {LECTURE}", name, known)
    return told


def _topics(lines: Iterable[Mapping[str, Any]], known: Mapping[str, Plain]) -> dict[str, list[Any]]:
    """The lecture's lines by topic, each with its findings grouped by verdict."""
    topics: dict[str, list[Any]] = {}
    for line in lines:
        own = [known[name] for name in line.get("claims", ())]
        if "experiment" in line:
            own += [f for f in known.values() if f["experiment"] == line["experiment"]
                    and any(source["text"] == "lecture" for source in f["sources"])]  # fmt: skip
        verdicts = {verdict: [f for f in own if f["verdict"] == verdict] for verdict in WORDS}
        marks = {verdict: found for verdict, found in verdicts.items() if found}
        shown = {"sentence": line["sentence"], "cannot": line.get("cannot", ""), "marks": marks}
        topics.setdefault(line["topic"], []).append(shown)
    return topics


def _picture(
    out: Path, summaries: Iterable[Mapping[str, Any]], name: str | None
) -> dict[str, Any] | None:
    """The headline of the experiment that is named, its image with it."""
    for summary in summaries:
        headline = summary["headline"]
        if headline and summary["name"] == name:
            drawn = read(out / summary["name"] / Path(headline["file"]).name)
            own = {"page": summary["name"], "title": summary["title"]}
            return {"finding": "", "paper": True, **headline, **own, "source": data_uri(drawn)}
    return None


def _groups(findings: Iterable[Plain], kind: str) -> dict[str, list[Plain]]:
    groups: dict[str, list[Plain]] = {}
    for finding in findings:
        if finding["kind"] == kind:
            groups.setdefault(finding["title"], []).append(finding)
    return groups


def _counts(findings: Iterable[Plain], kind: str) -> tuple[int, list[tuple[str, int]]]:
    """How many there are of a kind, and of each verdict that occurs."""
    counts = Counter(finding["verdict"] for finding in findings if finding["kind"] == kind)
    words = [*KINDS[kind], NOT_JUDGED]
    return counts.total(), [(word, counts[word]) for word in words if counts[word]]


def _errors(findings: Sequence[Plain]) -> str:
    """How many of the decided findings chance alone would decide, and how many it would not."""
    decided = sum(map(_decided, findings))
    if not decided:
        return ""
    alive = decided - sum(finding["chance"] for finding in findings)
    return (
        f"Each verdict stands on a 95 % interval of its own. Of {decided} decided findings up to "
        f"{decided * (1 - CONFIDENCE):.1f} would be wrong by chance if every truth lay on its "
        f"rule's bound; {alive} survive Holm's correction over all of them, the others are marked."
    )


def _forest(findings: Iterable[Plain]) -> dict[str, Any]:
    """Ours divided by the source's figure, a row for each data set, on one logarithmic axis."""
    claimed = [(found, rows) for found in findings if (rows := _ratios(found))]
    sizes = [abs(math.log10(end)) for _, rows in claimed for row in rows
             for end in (row["low"], row["high"]) if end > 0]  # fmt: skip
    reach = min(math.log10(WIDEST), max([math.log10(2), *sizes]))

    def place(ratio: float) -> float:
        """Per cent from the left, within the axis."""
        exponent = math.log10(ratio) if ratio > 0 else -reach
        return round(50 + 49 * max(-1.0, min(1.0, exponent / reach)), 2)

    for _, rows in claimed:
        for row in rows:
            row.update(at=place(row["ratio"]), left=place(row["low"]), right=place(row["high"]))
            row["ends"] = [end for end in (1, 99) if end in (row["left"], row["right"])]
    ticks = [tick for tick in (0.1, 0.2, 0.5, 1, 2, 5, 10)
             if abs(math.log10(tick)) <= reach]  # fmt: skip
    return {"claims": claimed, "ticks": [(f"{tick:g}", place(tick)) for tick in ticks]}


def _ratios(finding: Plain) -> list[dict[str, Any]]:
    figure = finding["figure"]
    parts = [part for part in finding["parts"] if part["estimate"] is not None] if figure else []
    rows = []
    for part in parts:
        low, high = sorted((part["low"] / figure, part["high"] / figure))
        rows.append({**part, "ratio": part["estimate"] / figure, "low": low, "high": high})
    return rows


def _small_runs(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Which verdicts of the front page are descriptive only."""
    small = {s["title"]: descriptive(s["preset"], s.get("seeds", 0)) for s in summaries}
    if len({*small.values()}) == 1 and all(small.values()):
        return f"All verdicts are {small.popitem()[1]}."
    return "; ".join(f"{title} is {text}" for title, text in small.items() if text)
