"""Pictures of reports: lines with their confidence, and heat maps, as PNG and SVG; equal data make equal bytes."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

_DOTS_PER_INCH = 130
_STYLE: dict[Any, Any] = {
    "font.size": 9,
    "axes.grid": True,
    "grid.alpha": 0.3,
    "svg.hashsalt": "flobc",
    "svg.fonttype": "none",
}
_MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*", "<", ">")
_DASHES = ("-", "--", ":", "-.")
_FEW = 40
"""Lines of more points get no markers."""
_MAX_COLUMNS = 3
_PANEL_INCHES = (5.5, 4.2)
_CELL_INCHES = (0.75, 0.34)
_DARK_BELOW = 0.45
"""Below this share of the colour scale (viridis) a cell is too dark for black text."""


@dataclass(frozen=True)
class Labels:
    """What is drawn: title, and what stands at the axes with its unit; ``names`` are ticks of unordered points,
    ``whole_x`` says that x counts something."""

    title: str
    x: str
    y: str
    names: tuple[str, ...] = ()
    whole_x: bool = False
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Line:
    """One line of a panel; ``halves`` are half confidence intervals, None where there is none.

    Connected as points of a measured curve, or as single points with bars where ``bars`` is set.
    """

    name: str
    xs: Sequence[float]
    ys: Sequence[float]
    halves: Sequence[float | None] = ()
    bars: bool = False


@dataclass(frozen=True)
class Panel:
    """One of several drawings side by side."""

    title: str
    lines: tuple[Line, ...]


@dataclass(frozen=True)
class HeatPanel:
    """A table in colours: ``values`` by row and column, None where there is none."""

    title: str
    rows: tuple[str, ...]
    columns: tuple[str, ...]
    values: tuple[tuple[float | None, ...], ...]


@dataclass(frozen=True)
class Picture:
    """A picture as files."""

    png: bytes
    svg: bytes


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure of so many inches, drawn in the style of all reports."""
    with mpl.rc_context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def save(figure: Figure, kind: str) -> bytes:
    """Return a figure as a file; call it within ``drawing``."""
    data = io.BytesIO()
    metadata = {"Date": None} if kind == "svg" else {"Software": None}
    figure.savefig(data, format=kind, dpi=_DOTS_PER_INCH, metadata=metadata)
    return data.getvalue()


def draw_lines(labels: Labels, panels: Sequence[Panel]) -> Picture:
    """Draw panels of lines, all with the same scale."""
    columns = min(len(panels), _MAX_COLUMNS)
    rows = math.ceil(len(panels) / columns)
    with drawing(_PANEL_INCHES[0] * columns, _PANEL_INCHES[1] * rows) as figure:
        figure.suptitle(labels.title)
        places = figure.subplots(rows, columns, squeeze=False, sharey=True)
        for axes, panel in itertools.zip_longest(places.flat, panels):
            if panel is None:
                axes.set_visible(False)
            else:
                _draw_panel(axes, labels, panel)
        return Picture(save(figure, "png"), save(figure, "svg"))


def _draw_panel(axes: Axes, labels: Labels, panel: Panel) -> None:
    if labels.log_x:
        axes.set_xscale("log")
    if labels.log_y:
        axes.set_yscale("log")
    for place, line in enumerate(panel.lines):
        _draw_line(axes, line, place)
    axes.set_title(panel.title)
    axes.set_xlabel(labels.x)
    axes.set_ylabel(labels.y)
    axes.yaxis.set_tick_params(labelleft=True)
    if labels.whole_x:
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    if labels.names:
        axes.set_xticks(range(len(labels.names)), labels.names, rotation=30 if len(labels.names) > 4 else 0)
    if any(line.name for line in panel.lines):
        axes.legend(fontsize=8)


def _draw_line(axes: Axes, line: Line, place: int) -> None:
    colour, dash = f"C{place % 10}", _DASHES[place // 10 % len(_DASHES)]
    marker = _MARKERS[place % len(_MARKERS)]
    halves = [half or 0.0 for half in line.halves] or [0.0] * len(line.xs)
    if line.bars:
        style = f"{marker}{dash}"
        axes.errorbar(line.xs, line.ys, halves, fmt=style, capsize=4, color=colour, label=line.name, markersize=5)
        return
    few = marker if len(line.xs) <= _FEW else ""
    axes.plot(line.xs, line.ys, dash, marker=few, markersize=3, color=colour, label=line.name)
    if any(halves):
        low = [value - half for value, half in zip(line.ys, halves, strict=True)]
        high = [value + half for value, half in zip(line.ys, halves, strict=True)]
        axes.fill_between(line.xs, low, high, color=colour, alpha=0.15, linewidth=0)


def draw_heat(labels: Labels, panels: Sequence[HeatPanel]) -> Picture:
    """Draw panels of coloured tables, all with the same colours for the same values."""
    found = [value for panel in panels for row in panel.values for value in row if value is not None]
    low, high = (min(found), max(found)) if found else (0.0, 1.0)
    most_columns, most_rows = (max(len(part) for part in parts) for parts in zip(*_list_sizes(panels), strict=True))
    width = (_CELL_INCHES[0] * most_columns + 2) * len(panels)
    with drawing(max(width, 6), max(_CELL_INCHES[1] * most_rows + 2, 3)) as figure:
        figure.suptitle(labels.title)
        places = figure.subplots(1, len(panels), squeeze=False)
        image = None
        for axes, panel in zip(places.flat, panels, strict=True):
            values = [[math.nan if value is None else value for value in row] for row in panel.values]
            image = axes.imshow(values, aspect="auto", cmap="viridis", vmin=low, vmax=high)
            _write_cells(axes, panel, low, high)
            axes.set_title(panel.title)
            axes.set_xlabel(labels.x)
        places.flat[0].set_ylabel(labels.y)
        if image is not None:
            figure.colorbar(image, ax=places.ravel().tolist(), label=labels.title)
        return Picture(save(figure, "png"), save(figure, "svg"))


def _list_sizes(panels: Sequence[HeatPanel]) -> list[tuple[tuple[str, ...], tuple[str, ...]]]:
    return [(panel.columns, panel.rows) for panel in panels]


def _write_cells(axes: Axes, panel: HeatPanel, low: float, high: float) -> None:
    axes.grid(visible=False)
    axes.set_xticks(range(len(panel.columns)), panel.columns, rotation=40, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(panel.rows)), panel.rows)
    for place, row in enumerate(panel.values):
        for column, value in enumerate(row):
            if value is None:
                axes.text(column, place, "none", ha="center", va="center", fontsize=7, color="tab:red")
                continue
            share = (value - low) / (high - low) if high > low else 1.0
            colour = "white" if share < _DARK_BELOW else "black"
            axes.text(column, place, f"{value:.3g}", ha="center", va="center", fontsize=7, color=colour)
