"""From a file, or the name of one that comes with FLoBC, to an experiment whose parts fit together."""

from __future__ import annotations

import dataclasses
import sysconfig
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import flobc
from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.simulation.document import Source, load_text, parse_document
from flobc.simulation.experiments.experiment import Axis, Chart, Claim, Experiment, Part, build_points
from flobc.simulation.reading import read_record

PAGE = "docs/experiments.md"
_SUFFIX = ".yaml"
_TARGETED = ("target_round", "target_s")
_NEEDED = {"curves": ("x",), "trust": (), "points": ("measure", "x"), "heat_map": ("measure", "x", "y")}
"""What each kind of chart cannot do without."""
_IGNORED = {
    "curves": ("measure", "y"),
    "trust": ("measure", "x", "y", "lines"),
    "points": ("y",),
    "heat_map": ("lines",),
}
"""What each kind of chart would not read."""
CURVE_XS = ("round", "time")


@dataclass(frozen=True, eq=False)
class Loaded:
    """An experiment, its name and its file's text."""

    name: str
    text: str
    experiment: Experiment


def find_folders() -> list[Path]:
    """Return where the experiments that come with FLoBC lie: in its source tree, or where its wheel puts them."""
    places = [Path(flobc.__file__).parent.parent / "examples", Path(sysconfig.get_path("data")) / "share" / "flobc"]
    return [place / "experiments" for place in places if (place / "experiments").is_dir()]


def list_experiments() -> dict[str, Path]:
    """Return the experiments that come with FLoBC, by name."""
    found = {path.stem: path for folder in reversed(find_folders()) for path in folder.glob(f"*{_SUFFIX}")}
    return dict(sorted(found.items()))


def load_experiment(given: str) -> Loaded:
    """Return the experiment of this name, or in this file.

    **Raises** UsageError for an unknown name, and naming file, line and key; DataError when it cannot be read.
    """
    if given.endswith((_SUFFIX, ".yml")) or "/" in given:
        path = Path(given)
    else:
        known = list_experiments()
        if given not in known:
            names = f"There are {', '.join(known)}" if known else "None came with this installation"
            raise UsageError(
                f"There is no experiment {given!r}{suggest(given, known)} {names}; or give a file's path, NAME.yaml."
            )
        path = known[given]
    return read_experiment(path.name, load_text(path, "experiment", PAGE))


def read_experiment(name: str, text: str) -> Loaded:
    """As ``load_experiment``, from a text. **Raises** UsageError naming ``name``, line and key."""
    source, root = parse_document(name, text, "experiment", PAGE)
    experiment = read_record(source, "", root, Experiment)
    if not experiment.parts:
        raise source.build_error("parts", "must have one part at least.")
    _check_names(source, "parts", (part.name for part in experiment.parts))
    parts = tuple(_check_part(source, f"parts.{place}", part) for place, part in enumerate(experiment.parts))
    experiment = dataclasses.replace(experiment, parts=parts)
    for place, claim in enumerate(experiment.paper):
        _check_claim(source, f"paper.{place}", claim, experiment)
    return Loaded(Path(name).stem, text, experiment)


def _check_names(source: Source, path: str, names: Iterable[str]) -> None:
    seen: set[str] = set()
    for place, name in enumerate(names):
        if name in seen:
            raise source.build_error(f"{path}.{place}", f"has the name {name!r}, which another one has; rename one.")
        if "/" in name:
            raise source.build_error(
                f"{path}.{place}", f"has the name {name!r}; a slash divides names, so leave it out."
            )
        seen.add(name)


def _check_part(source: Source, path: str, part: Part) -> Part:
    if not part.axes:
        raise source.build_error(f"{path}.axes", "must have one axis at least.")
    _check_names(source, f"{path}.axes", (axis.name for axis in part.axes))
    axes = tuple(_check_axis(source, f"{path}.axes.{place}", axis) for place, axis in enumerate(part.axes))
    part = dataclasses.replace(part, axes=axes)
    for place, name in enumerate(part.measures):
        _check_target(source, f"{path}.measures.{place}", name, part)
    for place, chart in enumerate(part.charts):
        _check_chart(source, f"{path}.charts.{place}", chart, part)
    return part


def _check_axis(source: Source, path: str, axis: Axis) -> Axis:
    if (axis.key_ is None) != (not axis.values):
        raise source.build_error(path, "needs key and values together, or neither of them and points.")
    if (axis.key_ is None) == (not axis.points):
        raise source.build_error(path, "needs either points or a key with values, and one of them.")
    points = build_points(axis)
    _check_names(source, f"{path}.{'points' if axis.points else 'values'}", (point.name for point in points))
    return dataclasses.replace(axis, points=points)


def _check_target(source: Source, path: str, measure: str, part: Part) -> None:
    if measure in _TARGETED and part.target is None:
        raise source.build_error(path, f"is {measure}, which is about the part's target; add the key target to it.")


def _check_chart(source: Source, path: str, chart: Chart, part: Part) -> None:
    for name in _NEEDED[chart.kind]:
        if getattr(chart, name) is None:
            raise source.build_error(path, f"is a chart of the kind {chart.kind} and lacks the key {name}; add it.")
    for name in _IGNORED[chart.kind]:
        if getattr(chart, name) is not None:
            raise source.build_error(
                f"{path}.{name}", f"means nothing to a chart of the kind {chart.kind}; leave it out."
            )
    if chart.measure is not None:
        _check_target(source, f"{path}.measure", chart.measure, part)
    used = []
    for name in ("x", "y", "lines", "panels"):
        found = getattr(chart, name)
        if found is None or (name == "x" and chart.kind == "curves"):
            continue
        _require_axis(source, f"{path}.{name}", found, part)
        if found in used:
            raise source.build_error(
                f"{path}.{name}", f"is {found}, which the chart shows already; choose another axis."
            )
        used.append(found)
    if chart.kind == "curves" and chart.x not in CURVE_XS:
        raise source.build_error(f"{path}.x", f"must be {' or '.join(CURVE_XS)} for curves, not {chart.x!r}.")
    _check_choices(source, f"{path}.only", chart.only, part, used)


def _check_claim(source: Source, path: str, claim: Claim, experiment: Experiment) -> None:
    parts = {part.name: part for part in experiment.parts}
    if claim.part not in parts:
        raise source.build_error(
            f"{path}.part", f"is {claim.part!r}, and there is no such part{suggest(claim.part, parts)}"
        )
    part = parts[claim.part]
    _check_target(source, f"{path}.measure", claim.measure, part)
    wanted = [name for name in ("at_most", "at_least", "highest", "lowest") if getattr(claim, name) is not None]
    if len(wanted) != 1:
        raise source.build_error(path, "needs one of at_most, at_least, highest and lowest.")
    used = []
    if claim.over is not None:
        _require_axis(source, f"{path}.over", claim.over, part)
        used.append(claim.over)
    if wanted[0] in ("highest", "lowest"):
        if claim.over is None or claim.less is not None:
            raise source.build_error(path, f"needs over, the axis whose {wanted[0]} point is meant, and no less.")
        _require_point(source, f"{path}.{wanted[0]}", getattr(claim, wanted[0]), part.get_axis(claim.over))
    _check_choices(source, f"{path}.of", claim.of, part, used)
    if claim.less is not None:
        # what is subtracted may be one point of the axis that the claim goes over
        _check_choices(
            source, f"{path}.less", claim.less, part, [name for name in used if name not in dict(claim.less)]
        )


def _check_choices(
    source: Source, path: str, choices: tuple[tuple[str, str], ...], part: Part, used: list[str]
) -> None:
    """Check that every axis is used or has its point: under one_at_a_time those left out are at their first."""
    for name, point in choices:
        _require_axis(source, f"{path}.{name}", name, part)
        if name in used:
            raise source.build_error(f"{path}.{name}", "is an axis that is shown as a whole; leave it out here.")
        _require_point(source, f"{path}.{name}", point, part.get_axis(name))
    left = [axis.name for axis in part.axes if axis.name not in used and axis.name not in dict(choices)]
    if left and part.vary == "grid":
        raise source.build_error(path, f"must say which point of the axis {left[0]!r} is meant; add it.")


def _require_axis(source: Source, path: str, name: str, part: Part) -> None:
    names = [axis.name for axis in part.axes]
    if name not in names:
        raise source.build_error(path, f"names the axis {name!r}{suggest(name, names)} There are {', '.join(names)}.")


def _require_point(source: Source, path: str, name: str, axis: Axis) -> None:
    names = [point.name for point in axis.points]
    if name not in names:
        sentence = f"names {name!r}{suggest(name, names)} The axis {axis.name} has {', '.join(names)}."
        raise source.build_error(path, sentence)
