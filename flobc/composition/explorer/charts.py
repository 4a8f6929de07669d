"""Curves as inline SVG: axes, ticks and units, and a line of words for whoever cannot see them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

WIDTH, HEIGHT = 640, 240
LEFT, RIGHT, TOP, BOTTOM = 56, 12, 12, 36
TICKS = 5
LEAST_SPAN = 1e-3
"""What differs less than this, relatively, is drawn as one value: rounding is no curve."""

Point = tuple[float, float]


@dataclass(frozen=True)
class Series:
    """One line of a chart; ``points`` are (height, value) in ascending order of height."""

    name: str
    points: Sequence[Point]


@dataclass(frozen=True)
class _Scale:
    low: float
    high: float
    start: float
    stop: float

    def place(self, value: float) -> float:
        return self.start + (value - self.low) / (self.high - self.low) * (self.stop - self.start)


def draw_chart(title: str, unit: str, series: Sequence[Series], from_zero: bool = False) -> Markup:
    """Return the SVG of a chart over heights; with no points, a sentence that says so."""
    drawn = [one for one in series if one.points]
    if not drawn:
        return Markup('<p class="empty">There is nothing to draw yet.</p>')
    xs = [x for one in drawn for x, _ in one.points]
    ys = [y for one in drawn for _, y in one.points] + [0.0] * from_zero
    across = _Scale(*_widen(min(xs), max(xs)), LEFT, WIDTH - RIGHT)
    y_ticks = list_ticks(*_widen(min(ys), max(ys)))
    up = _Scale(y_ticks[0], y_ticks[-1], HEIGHT - BOTTOM, TOP)
    parts = [_draw_axes(across, up, y_ticks, unit)]
    parts += [_draw_line(one, place, across, up) for place, one in enumerate(drawn)]
    words = describe_chart(title, unit, drawn)
    legend = Markup("").join(
        Markup('<li class="line-{}"><span aria-hidden="true"></span>{}</li>').format(place, one.name)
        for place, one in enumerate(drawn)
    )
    return Markup(
        '<figure class="chart"><figcaption><span>{title}<span class="unit">, {unit}</span></span>'
        '<ul class="legend">{legend}</ul></figcaption>'
        '<svg viewBox="0 0 {width} {height}" role="img" aria-label="{words}">{parts}</svg></figure>'
    ).format(
        title=title, unit=unit, legend=legend, width=WIDTH, height=HEIGHT, words=words, parts=Markup("").join(parts)
    )


def describe_chart(title: str, unit: str, series: Sequence[Series]) -> str:
    """Return what a chart shows in words: where each line begins and ends, and between what."""
    told = []
    for one in series:
        values = [y for _, y in one.points]
        told.append(
            f"{one.name} goes from {show_number(values[0])} at height {one.points[0][0]:g} to "
            f"{show_number(values[-1])} at height {one.points[-1][0]:g}, "
            f"between {show_number(min(values))} and {show_number(max(values))}"
        )
    return f"{title} in {unit}: {'; '.join(told)}."


def list_ticks(low: float, high: float) -> list[float]:
    """Return round numbers from below ``low`` to above ``high``."""
    rough = (high - low) / (TICKS - 1)
    size = 10.0 ** math.floor(math.log10(rough))
    step = next(size * factor for factor in (1, 2, 2.5, 5, 10) if size * factor >= rough * (1 - 1e-9))
    first = math.floor(low / step + 1e-9)
    last = math.ceil(high / step - 1e-9)
    return [round(number * step, 12) for number in range(first, last + 1)]


def show_number(value: float) -> str:
    """Return a number in at most four digits."""
    return f"{value:.4g}"


def _widen(low: float, high: float) -> tuple[float, float]:
    """A range that is one value, or nearly, has no scale; give it one."""
    size = max(abs(low), abs(high))
    if high - low > max(size * LEAST_SPAN, 1e-6):
        return low, high
    room = size * 0.1 if size > 1e-5 else 0.1
    return low - room, high + room


def _draw_axes(across: _Scale, up: _Scale, y_ticks: Sequence[float], unit: str) -> Markup:
    parts = []
    for value in y_ticks:
        y = up.place(value)
        parts.append(
            Markup('<line class="grid" x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}"/>').format(LEFT, WIDTH - RIGHT, y, y)
        )
        parts.append(
            Markup('<text class="tick y" x="{}" y="{:.1f}">{}</text>').format(LEFT - 6, y + 4, show_number(value))
        )
    for value in list_ticks(across.low, across.high):
        if across.low <= value <= across.high and value == int(value):
            x = across.place(value)
            parts.append(
                Markup('<text class="tick x" x="{:.1f}" y="{}">{}</text>').format(x, HEIGHT - BOTTOM + 16, int(value))
            )
    parts.append(
        Markup('<text class="axis x" x="{}" y="{}">{}</text>').format((LEFT + WIDTH) / 2, HEIGHT - 4, "height")
    )
    parts.append(
        Markup('<text class="axis y" transform="translate(12 {}) rotate(-90)">{}</text>').format(
            (TOP + HEIGHT - BOTTOM) / 2, unit
        )
    )
    return Markup("").join(parts)


def _draw_line(one: Series, place: int, across: _Scale, up: _Scale) -> Markup:
    points = " ".join(f"{across.place(x):.1f},{up.place(y):.1f}" for x, y in one.points)
    line = Markup('<polyline class="line-{}" points="{}"><title>{}</title></polyline>').format(
        place, points, escape(one.name)
    )
    if len(one.points) > 1:
        return line
    x, y = one.points[0]
    return line + Markup('<circle class="line-{}" cx="{:.1f}" cy="{:.1f}" r="3"/>').format(
        place, across.place(x), up.place(y)
    )
