"""A load test's report: figures as CSV, JSON, Markdown and a picture."""

from __future__ import annotations

import csv
import io
import json
import math
import platform
from collections.abc import Sequence
from pathlib import Path

from flobc import __version__
from flobc.adapters.filesystem import write_atomically
from flobc.composition.scaling.figures import Figures, Point, compute_figures
from flobc.composition.scaling.measurement import SOURCE, Measurement
from flobc.composition.scaling.plan import LoadPlan, Window
from flobc.composition.scaling.plots import draw
from flobc.composition.sheets import build_table
from flobc.composition.wording import show_count

PICTURE = "report.png"
_TITLES = (
    *("ratio", "trainers", "validators", "repeats", "rounds", "updates_per_s", "updates_per_s_half", "accepted_share"),
    *("round_p50_s", "round_p95_s", "round_p99_s", "efficiency", "machine_share", "marked"),
)


def write_report(plan: LoadPlan, target: str, output: Path, measurements: Sequence[Measurement]) -> None:
    """Write ``report.csv``, ``report.json``, ``report.md`` and ``report.png`` into ``output``."""
    figures = compute_figures(plan, measurements)
    texts = {
        "report.csv": build_csv(figures),
        "report.json": json.dumps(describe(plan, target, figures), indent=2, allow_nan=False) + "\n",
        "report.md": build_markdown(plan, target, figures, measurements),
    }
    for name, text in texts.items():
        write_atomically(output / name, [text.encode()])
    if figures.points:
        write_atomically(output / PICTURE, [draw(plan, figures)])


def build_csv(figures: Figures) -> str:
    """Return a line per step; roles' processors in use come last."""
    roles = sorted({role for point in figures.points for role in point.cores})
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_TITLES, *(f"cores_{role}" for role in roles)])
    for point in figures.points:
        row = describe_point(point)
        writer.writerow([*(row[title] for title in _TITLES), *(point.cores.get(role, "") for role in roles)])
    return text.getvalue()


def describe_point(point: Point) -> dict[str, object]:
    """Return a point as plain data."""
    return {
        "ratio": point.step.name,
        "trainers": point.step.trainers,
        "validators": point.step.validators,
        "repeats": point.repeats,
        "rounds": point.rounds,
        "updates_per_s": point.updates_per_s.mean,
        "updates_per_s_half": point.updates_per_s.half,
        "accepted_share": point.accepted_share,
        "round_p50_s": point.p50_s,
        "round_p95_s": point.p95_s,
        "round_p99_s": point.p99_s,
        "efficiency": point.efficiency,
        "machine_share": point.machine_share,
        "marked": point.marked,
        "cores": point.cores,
    }


def describe(plan: LoadPlan, target: str, figures: Figures) -> dict[str, object]:
    """Return everything as plain data."""
    fit, best, saturated = figures.fit, figures.best, figures.saturated
    return {
        "plan": plan.describe(),
        "target": target,
        "points": [describe_point(point) for point in figures.points],
        "fit": None
        if fit is None
        else {
            "fixed_s": fit.fixed_s,
            "per_trainer_s": fit.per_trainer_s,
            "ceiling_updates_per_s": fit.ceiling if math.isfinite(fit.ceiling) else None,
            "knee_trainers": fit.knee if math.isfinite(fit.knee) else None,
        },
        "best": None if best is None else best.step.name,
        "saturated": None if saturated is None else saturated.step.name,
    }


def describe_finding(plan: LoadPlan, figures: Figures) -> str:
    """Return which ratio saturates, in a sentence or two."""
    best, fit, marked = figures.best, figures.fit, [point for point in figures.points if point.marked]
    if best is None:
        return "Nothing is measured yet."
    words = f"Most updates a second: {best.step.name}, {best.updates_per_s}."
    if marked:
        words += (
            f" {len(marked)} of {len(figures.points)} points had a machine above {plan.max_machine_share:.0%} busy and "
            "are marked: they say more of the machine than of the ratio, and are not fitted."
        )
    if fit is None:
        return f"{words} Too few points are left to say which ratio saturates: that takes three numbers of trainers."
    if not math.isfinite(fit.knee):
        return f"{words} Nothing saturates: updates a second grow with every trainer as with the first."
    bend = (
        f"A further trainer adds less than half of what the first did from {fit.knee:.1f} trainers on; "
        f"there can be {fit.ceiling:.3g} updates a second at most"
    )
    if figures.saturated is None:
        return f"{words} {bend}, so no ratio of this plan saturates it."
    if all(point.step.trainers >= fit.knee for point in figures.points):
        return f"{words} {bend}, so every ratio of this plan is beyond that; try fewer trainers."
    return f"{words} {bend}, so **{figures.saturated.step.name} saturates it**."


def build_markdown(plan: LoadPlan, target: str, figures: Figures, measurements: Sequence[Measurement]) -> str:
    """Return the report for people."""
    lines = [
        f"# Load test: {plan.name}",
        "",
        describe_finding(plan, figures),
        "",
        *_build_table(figures),
        "",
        "± is half of the 95 % confidence interval of the mean over repeats (Student's t). Round times are of all "
        "repeats together; a percentile is the value that so many rounds do not exceed. Efficiency is a trainer's "
        "updates a second over that in the step with the fewest trainers. A machine's share is the highest of all "
        "repeats; *marked* points are not fitted.",
        "",
        f"![Updates a second and round times over trainers]({PICTURE})" if figures.points else "",
        "",
        *_build_fit(figures),
        "## How it was measured",
        "",
        *_build_conditions(plan, target),
        "",
        "## What was checked after each step",
        "",
        *(f"- {found.step.name}, repeat {found.repeat}: {describe_checks(found)}" for found in measurements),
    ]
    return "\n".join(lines) + "\n"


def _build_table(figures: Figures) -> list[str]:
    roles = sorted({role for point in figures.points for role in point.cores})
    titles = [
        *("trainers : validators", "updates/s", "accepted", "round p50 (s)", "p95 (s)", "p99 (s)", "efficiency"),
        *("machine", *(f"{role} (cores)" for role in roles), "repeats (rounds)"),
    ]
    rows = [
        [
            point.step.name + (" *marked*" if point.marked else ""),
            str(point.updates_per_s),
            f"{point.accepted_share:.0%}",
            *(f"{seconds:.3g}" for seconds in (point.p50_s, point.p95_s, point.p99_s)),
            f"{point.efficiency:.0%}",
            "?" if point.machine_share is None else f"{point.machine_share:.0%}",
            *(f"{point.cores.get(role, 0.0):.2g}" for role in roles),
            f"{point.repeats} ({point.rounds})",
        ]
        for point in figures.points
    ]
    return build_table(titles, rows)


def _build_fit(figures: Figures) -> list[str]:
    fit = figures.fit
    if fit is None:
        return []
    return [
        f"The curve: T trainers' updates take {fit.fixed_s:.3g} s + T x {fit.per_trainer_s:.3g} s (least squares over "
        "the points that are not marked).",
        "",
    ]


def _build_conditions(plan: LoadPlan, target: str) -> list[str]:
    options = " ".join(f"--{name.replace('_', '-')} {value}" for name, value in plan.system)
    return [
        f"- on {target}" + (f", each with `{options}`" if options else ""),
        f"- {plan.repeats} repeat(s), one after the other; warm-up {describe_window(plan.warm_up)}, measured "
        f"{describe_window(plan.measure)}, from one block to another",
        f"- drained until no block came for {plan.drain.quiet_s:g} s",
        f"- repeat it with: `flobc load {SOURCE} --output DIR`",
        f"- FLoBC {__version__}, Python {platform.python_version()}, {platform.system()} {platform.machine()}",
    ]


def describe_checks(found: Measurement) -> str:
    """Return what was looked at after a measurement."""
    return "; ".join(f"{name}: {words}" for name, words in found.checks.items())


def describe_window(window: Window) -> str:
    """Return how long something goes on."""
    return show_count(window.rounds, "round") if window.rounds is not None else f"{window.seconds:g} s"
