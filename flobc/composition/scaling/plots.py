"""A load test's picture."""

from __future__ import annotations

import math

from matplotlib.axes import Axes

from flobc.composition.pictures import drawing, save
from flobc.composition.scaling.figures import Figures, Point
from flobc.composition.scaling.plan import LoadPlan

_SIZE_INCHES = (11, 4.5)
_CURVE_POINTS = 100


def draw(plan: LoadPlan, figures: Figures) -> bytes:
    """Return a PNG: updates a second with confidence intervals and curve, and percentiles of rounds, over trainers."""
    with drawing(*_SIZE_INCHES) as figure:
        left, right = figure.subplots(1, 2)
        figure.suptitle(plan.name)
        points = sorted(figures.points, key=lambda point: (point.step.trainers, point.step.validators))
        _draw_rates(left, figures, points)
        _draw_rounds(right, points)
        for axes in (left, right):
            axes.set_xticks(range(len(points)), [point.step.name for point in points])
            axes.set_xlabel("trainers : validators")
            axes.set_ylim(bottom=0)
            axes.legend()
        return save(figure, "png")


def _draw_rates(axes: Axes, figures: Figures, points: list[Point]) -> None:
    for marked, style, name in ((False, "o", "measured, 95 % interval"), (True, "x", "machine too busy, not fitted")):
        chosen = [(place, point) for place, point in enumerate(points) if point.marked is marked]
        if chosen:
            axes.errorbar(
                [place for place, _ in chosen],
                [point.updates_per_s.mean for _, point in chosen],
                [point.updates_per_s.half or 0.0 for _, point in chosen],
                fmt=style,
                capsize=4,
                label=name,
                color="tab:gray" if marked else "tab:blue",
            )
    fit = figures.fit
    if fit is not None:
        places = [step * (len(points) - 1) / _CURVE_POINTS for step in range(_CURVE_POINTS + 1)]
        trainers = [_interpolate([float(point.step.trainers) for point in points], place) for place in places]
        axes.plot(places, [fit.compute(count) for count in trainers], "-", color="tab:orange", label="fitted curve")
        if math.isfinite(fit.ceiling):
            axes.axhline(fit.ceiling, linestyle=":", color="tab:red", label="its ceiling")
    axes.set_ylabel("updates decided per second (1/s)")
    axes.set_title("Throughput")


def _draw_rounds(axes: Axes, points: list[Point]) -> None:
    places = range(len(points))
    axes.plot(places, [point.p50_s for point in points], "o-", label="p50")
    axes.plot(places, [point.p95_s for point in points], "s--", label="p95")
    axes.plot(places, [point.p99_s for point in points], "^:", label="p99")
    axes.set_ylabel("time between blocks (s)")
    axes.set_title("Rounds")


def _interpolate(values: list[float], place: float) -> float:
    """Return the value between two neighbours at a place between their numbers."""
    low = min(int(place), len(values) - 1)
    high = min(low + 1, len(values) - 1)
    return values[low] + (place - low) * (values[high] - values[low])
