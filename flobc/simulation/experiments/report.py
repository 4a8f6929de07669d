"""An experiment's page: what is asked, what the paper said and whether it holds, tables, pictures, how to repeat it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flobc import __version__
from flobc.adapters.filesystem import write_atomically
from flobc.composition.sheets import build_csv, build_table
from flobc.simulation.experiments.cells import list_combinations
from flobc.simulation.experiments.claims import Verdict, judge
from flobc.simulation.experiments.drawing import draw_chart
from flobc.simulation.experiments.experiment import Experiment
from flobc.simulation.experiments.figures import Found, Points
from flobc.simulation.experiments.measures import MEASURES
from flobc.simulation.experiments.storage import Failure

REPORT = "report"
_WORDS = {True: "met", False: "NOT met", None: "open"}
_MOST_FAILURES = 20


@dataclass(frozen=True)
class Conditions:
    """How an experiment was run: the command, the seeds of each part, the machines, and what failed."""

    command: str
    seeds: str
    machines: Sequence[str]
    cells: int
    missing: int
    failures: Sequence[Failure]
    seconds: float


def write_report(
    directory: Path, name: str, experiment: Experiment, found: Sequence[Found], conditions: Conditions
) -> None:
    """Write ``report.md``, ``report.csv``, ``cells.csv``, ``report.json`` and the pictures into ``directory``."""
    verdicts = judge_all(experiment, found)
    pictures = list(_draw_all(directory, found))
    rows = [row for part in found for row in _iterate_rows(part)]
    measures = _list_measures(experiment)
    titles = [
        *("part", "point", "seeds", "unfinished"),
        *(title for item in measures for title in (item, f"{item}_half", f"{item}_seeds")),
    ]
    texts = {
        f"{REPORT}.csv": build_csv(titles, rows),
        "cells.csv": build_csv(
            ["part", "point", "seed", "status", "height", "head", *measures],
            [row for part in found for row in _iterate_cells(part)],
        ),
        f"{REPORT}.json": json.dumps(_describe(name, experiment, rows, verdicts), indent=1) + "\n",
        f"{REPORT}.md": _build_markdown(name, experiment, found, verdicts, pictures, conditions),
    }
    for file, text in texts.items():
        write_atomically(directory / file, [text.encode()])


def judge_all(experiment: Experiment, found: Sequence[Found]) -> list[Verdict]:
    """Hold every claim against what was found."""
    parts = {part.part.name: part for part in found}
    return [judge(claim, parts[claim.part]) for claim in experiment.paper]


def _list_measures(experiment: Experiment) -> list[str]:
    return list(dict.fromkeys(name for part in experiment.parts for name in part.measures))


def _list_points(found: Found) -> list[Points]:
    return [tuple(point.name for point in points) for points in list_combinations(found.part)]


def _iterate_rows(found: Found) -> Iterator[dict[str, Any]]:
    """Yield one row a point: of each measure the mean, half its interval, and how many seeds have it."""
    for points in _list_points(found):
        outcomes = found.get_seeds(points)
        row: dict[str, Any] = {"part": found.part.name, "point": "/".join(points), "seeds": len(outcomes)}
        row["unfinished"] = sum(outcome.record["status"] != "finished" for outcome in outcomes.values())
        for name in found.part.measures:
            if MEASURES[name].timed:
                continue
            estimate = found.estimate(points, name)
            row[f"{name}_seeds"] = len(found.get_values(points, name))
            if estimate is not None:
                row[name] = round(estimate.mean, 6)
                row[f"{name}_half"] = "" if estimate.half is None else round(estimate.half, 6)
        yield row


def _iterate_cells(found: Found) -> Iterator[dict[str, Any]]:
    for points in _list_points(found):
        for seed, outcome in found.get_seeds(points).items():
            record = outcome.record
            row = {"part": found.part.name, "point": "/".join(points), "seed": seed}
            row |= {name: record[name] for name in ("status", "height", "head")}
            for name in found.part.measures:
                value = found.get_values(points, name).get(seed)
                if value is not None and not MEASURES[name].timed:
                    row[name] = round(value, 6)
            yield row


def _describe(
    name: str, experiment: Experiment, rows: list[dict[str, Any]], verdicts: Sequence[Verdict]
) -> dict[str, Any]:
    return {
        "experiment": name,
        "version": __version__,
        "title": experiment.title,
        "claims": [
            {"claim": verdict.claim.claim, "met": verdict.met, "found": verdict.words, "source": verdict.claim.source}
            for verdict in verdicts
        ],
        "points": rows,
    }


def _draw_all(directory: Path, found: Sequence[Found]) -> Iterator[tuple[str, str, str]]:
    """Write each chart as PNG and SVG; yield its part, title and file name without suffix."""
    for part in found:
        for place, chart in enumerate(part.part.charts, 1):
            picture = draw_chart(chart, part)
            name = f"{part.part.name}-{place}"
            if picture is not None:
                write_atomically(directory / f"{name}.png", [picture.png])
                write_atomically(directory / f"{name}.svg", [picture.svg])
                yield part.part.name, chart.title, name


def _build_markdown(
    name: str,
    experiment: Experiment,
    found: Sequence[Found],
    verdicts: Sequence[Verdict],
    pictures: Sequence[tuple[str, str, str]],
    conditions: Conditions,
) -> str:
    lines = [f"# {experiment.title}", "", experiment.question, ""]
    if conditions.missing:
        lines += [f"**Not all is measured: {conditions.missing} of {conditions.cells} cells are missing.**", ""]
    lines += _build_claims(verdicts)
    for part in found:
        lines += [f"## {part.part.title or part.part.name}", "", *_build_part(part), ""]
        for owner, title, file in pictures:
            if owner == part.part.name:
                lines += [f"![{title}]({file}.png)", "", f"[as SVG]({file}.svg)", ""]
    if experiment.notes:
        lines += ["## What to keep in mind", "", *(f"- {note}" for note in experiment.notes), ""]
    lines += _build_failures(conditions.failures)
    lines += ["## How it was measured", "", *_build_conditions(name, conditions)]
    return "\n".join(lines) + "\n"


def _build_claims(verdicts: Sequence[Verdict]) -> list[str]:
    if not verdicts:
        return []
    rows = []
    for verdict in verdicts:
        claim = verdict.claim
        said = f"{claim.claim}" + (f" Published: {claim.published}." if claim.published else "")
        here = verdict.words + (f". {claim.differs}" if claim.differs else "")
        rows.append((said, claim.source, here, f"**{_WORDS[verdict.met]}**"))
    return ["## What was claimed, and what is found here", "", *build_table(("claim", "source", "here", ""), rows), ""]


def _build_part(found: Found) -> list[str]:
    axes = [axis.name for axis in found.part.axes]
    titles = [*axes, *(MEASURES[name].label for name in found.part.measures), "seeds"]
    rows = []
    for points in _list_points(found):
        outcomes = found.get_seeds(points)
        cells = [_show(found, points, name, len(outcomes)) for name in found.part.measures]
        rows.append([*points, *cells, str(len(outcomes))])
    lines = build_table(titles, rows)
    if found.part.target is not None:
        lines += ["", f"The target is a test accuracy of {found.part.target:g} %."]
    stopped = [
        f"- {'/'.join(points)}, seed {seed}: {outcome.record['reason']}"
        for points in _list_points(found)
        for seed, outcome in found.get_seeds(points).items()
        if outcome.record["status"] != "finished"
    ]
    if stopped and not found.part.fixed_time:
        more = [f"- and {len(stopped) - _MOST_FAILURES} more"] if len(stopped) > _MOST_FAILURES else []
        lines += ["", "Chains that did not reach their last round:", "", *stopped[:_MOST_FAILURES], *more]
    return lines


def _show(found: Found, points: Points, measure: str, seeds: int) -> str:
    estimate, having = found.estimate(points, measure), len(found.get_values(points, measure))
    if estimate is None:
        return "-"
    return f"{estimate}" + (f" ({having} of {seeds})" if having < seeds else "")


def _build_failures(failures: Sequence[Failure]) -> list[str]:
    if not failures:
        return []
    rows = [(failure.name, " ".join(failure.reason.split())) for failure in failures[:_MOST_FAILURES]]
    more = f"{len(failures) - _MOST_FAILURES} more are in failures.jsonl." if len(failures) > _MOST_FAILURES else ""
    return ["## Cells that failed", "", *build_table(("cell", "why"), rows), "", more, ""]


def _build_conditions(name: str, conditions: Conditions) -> list[str]:
    return [
        f"- experiment `{name}`, its file beside this page: [experiment.yaml](experiment.yaml); again with: "
        f"`{conditions.command}`",
        f"- {conditions.cells - conditions.missing} of {conditions.cells} cells, {conditions.seeds}; each cell is one "
        "simulation in a process of its own with one thread",
        "- ± is half of the 95 % confidence interval of the mean over seeds (Student's t); differences are taken seed "
        "by seed. In brackets stands how many seeds have the value, where not all do. All seeds share one test set.",
        f"- {conditions.seconds / 60:.1f} minutes of one core for all cells together",
        *(f"- machine: {machine}" for machine in conditions.machines),
        "- `cells/` holds each cell's record with its scenario, which `flobc simulate` takes, and the head of its "
        "chain; `cells.csv` a line a cell, `report.csv` a line a point, `report.json` the same with the verdicts. They "
        "depend on scenario, seed, version and processor family alone.",
    ]
