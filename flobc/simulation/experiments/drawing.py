"""An experiment's charts as pictures."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping

from flobc.composition.pictures import HeatPanel, Labels, Line, Panel, Picture, draw_heat, draw_lines
from flobc.simulation.experiments.experiment import Axis, Chart
from flobc.simulation.experiments.figures import (
    Curve,
    Found,
    build_round_curve,
    build_time_curve,
    build_trust_curves,
)
from flobc.simulation.experiments.measures import MEASURES

_ACCURACY, _TRUST, _ROUND, _TIME = "test accuracy (%)", "share of all trust (%)", "round", "virtual time (s)"


def draw_chart(chart: Chart, found: Found) -> Picture | None:
    """Return a chart's picture; None when nothing was measured that it shows."""
    if chart.kind == "heat_map":
        return _draw_heat_map(chart, found)
    build = {"curves": _build_curves, "trust": _build_trust, "points": _build_points}[chart.kind]
    panels = [Panel(name, tuple(build(chart, found, chosen))) for name, chosen in _iterate_panels(chart, found)]
    panels = [panel for panel in panels if panel.lines]
    return draw_lines(_build_labels(chart, found), panels) if panels else None


def _build_labels(chart: Chart, found: Found) -> Labels:
    if chart.kind == "trust":
        return Labels(chart.title, _ROUND, _TRUST, whole_x=True)
    log_x, log_y = chart.scale in ("log", "log_log"), chart.scale == "log_log"
    if chart.kind == "curves":
        timed = chart.x == "time"
        x = _TIME if timed else _ROUND
        return Labels(chart.title, x, _ACCURACY, whole_x=not timed, log_x=log_x, log_y=log_y)
    axis = found.part.get_axis(str(chart.x))
    names = () if axis.numbers else tuple(point.name for point in axis.points)
    return Labels(chart.title, axis.name, MEASURES[str(chart.measure)].label, names, log_x=log_x, log_y=log_y)


def _iterate_panels(chart: Chart, found: Found) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each panel's title and the points that it stands for."""
    only = dict(chart.only)
    if chart.panels is None:
        yield "", only
        return
    for point in found.part.get_axis(chart.panels).points:
        yield point.name, {**only, chart.panels: point.name}


def _iterate_lines(chart: Chart, found: Found, chosen: Mapping[str, str]) -> Iterator[tuple[str, dict[str, str]]]:
    if chart.lines is None:
        yield "", dict(chosen)
        return
    for point in found.part.get_axis(chart.lines).points:
        yield point.name, {**chosen, chart.lines: point.name}


def _build_curves(chart: Chart, found: Found, chosen: Mapping[str, str]) -> Iterator[Line]:
    for name, points in _iterate_lines(chart, found, chosen):
        outcomes = list(found.get_seeds(found.place(points)).values())
        curve = build_time_curve(outcomes, chart.until) if chart.x == "time" else build_round_curve(outcomes)
        if curve.xs:
            yield _build_line(name, curve)


def _build_trust(chart: Chart, found: Found, chosen: Mapping[str, str]) -> Iterator[Line]:
    del chart
    curves = build_trust_curves(list(found.get_seeds(found.place(chosen)).values()))
    for trainer, curve in enumerate(curves):
        yield _build_line(f"trainer {trainer}", curve)


def _build_line(name: str, curve: Curve) -> Line:
    return Line(
        name,
        curve.xs,
        tuple(estimate.mean for estimate in curve.estimates),
        tuple(estimate.half for estimate in curve.estimates),
    )


def _build_points(chart: Chart, found: Found, chosen: Mapping[str, str]) -> Iterator[Line]:
    axis = found.part.get_axis(str(chart.x))
    for name, points in _iterate_lines(chart, found, chosen):
        measured = [
            (place, estimate)
            for place, point in zip(_list_places(axis), axis.points, strict=True)
            if (estimate := found.estimate(found.place({**points, axis.name: point.name}), str(chart.measure)))
        ]
        if measured:
            estimates = [estimate for _, estimate in measured]
            yield Line(
                name,
                [place for place, _ in measured],
                [estimate.mean for estimate in estimates],
                [estimate.half for estimate in estimates],
                bars=True,
            )


def _list_places(axis: Axis) -> list[float]:
    if axis.numbers:
        return [float(point.at or 0) for point in axis.points]
    return [float(place) for place in range(len(axis.points))]


def _draw_heat_map(chart: Chart, found: Found) -> Picture | None:
    columns, rows = (found.part.get_axis(str(name)) for name in (chart.x, chart.y))
    panels = []
    for title, chosen in _iterate_panels(chart, found):
        values = tuple(
            tuple(
                None if estimate is None else estimate.mean
                for column in columns.points
                for estimate in [
                    found.estimate(
                        found.place({**chosen, columns.name: column.name, rows.name: row.name}), str(chart.measure)
                    )
                ]
            )
            for row in rows.points
        )
        names = [tuple(point.name for point in axis.points) for axis in (rows, columns)]
        panels.append(HeatPanel(title, names[0], names[1], values))
    if all(value is None for value in itertools.chain(*(row for panel in panels for row in panel.values))):
        return None
    labels = Labels(f"{chart.title}: {MEASURES[str(chart.measure)].label}", columns.name, rows.name)
    return draw_heat(labels, panels)
