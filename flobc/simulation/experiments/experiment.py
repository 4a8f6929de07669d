"""An experiment as a closed tree of frozen dataclasses: which worlds, what of them is measured, how it is drawn."""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass
from typing import Any

from flobc.simulation.document import Node, Source, list_items, nest, require_tree
from flobc.simulation.experiments.measures import MEASURES
from flobc.simulation.reading import custom, key, keys, read_plain, sections
from flobc.simulation.units import Kind, choice, number, text, whole

CHARTS = ("curves", "trust", "points", "heat_map")
VARIES = ("grid", "one_at_a_time")
MOST_SEEDS = 1_000
_TRUTHS = {"true": True, "false": False}
_NUMBER = re.compile(r"(\d+(?:\.\d+)?) ?(?:%|[a-zA-Z/]*)")
_NAME = Kind("a name", str)
_MEASURE = choice(*MEASURES)


def _read_truth(given: str) -> bool:
    if given not in _TRUTHS:
        raise ValueError
    return _TRUTHS[given]


def _read_prose(source: Source, path: str, node: Node) -> str:
    """Return sentences on one line, however many."""
    return " ".join(source.read_text(path, node, "sentences").split())


def _read_proses(source: Source, path: str, node: Node) -> tuple[str, ...]:
    return tuple(_read_prose(source, place, item) for place, item in source.read_list(path, node, "sentences"))


def _read_tree(source: Source, path: str, node: Node) -> Node:
    return require_tree(source, path, node)


def _read_choices(source: Source, path: str, node: Node) -> tuple[tuple[str, str], ...]:
    """Return axes with the point of each that is meant; which there are is checked later."""
    require_tree(source, path, node)
    return tuple(
        (str(name.value), read_plain(source, f"{path}.{name.value}", value, _NAME)) for name, value in list_items(node)
    )


def tree() -> Any:
    """Return a field for a piece of a scenario, kept as it was written."""
    return custom(_read_tree, None)


def prose(default: Any = dataclasses.MISSING) -> Any:
    """Return a field for sentences."""
    return custom(_read_prose, default)


def choices() -> Any:
    """Return a field for points of axes."""
    return custom(_read_choices, ())


@dataclass(frozen=True, eq=False)
class Point:
    """One value of an axis: what it is called, where it stands if that is a number, and what it makes of the world.

    ``centralised`` is no federation but one trainer with all shards: its optimizer is ``kept`` through all rounds, so
    that only the last model is tested, or begins anew in each, as those of trainers do (``restarted``).
    """

    name: str = key(_NAME)
    at: float | None = key(number(), None)
    centralised: str | None = key(choice("kept", "restarted"), None)
    world: Node | None = tree()


def _read_values(source: Source, path: str, node: Node) -> tuple[Node, ...]:
    return tuple(item for _, item in source.read_list(path, node, "values"))


@dataclass(frozen=True, eq=False)
class Axis:
    """What is varied: ``points``, or the ``values`` of one ``key`` of the scenario."""

    name: str = key(_NAME)
    key_: str | None = key(text("a key of a scenario, such as run.sync"), None)
    values: tuple[Node, ...] = custom(_read_values, ())
    points: tuple[Point, ...] = sections(Point)

    @property
    def numbers(self) -> bool:
        """Whether every point stands at a number."""
        return all(point.at is not None for point in self.points)


@dataclass(frozen=True, kw_only=True)
class Chart:
    """A picture. ``x`` is an axis, or of curves ``round`` or ``time``; each point of ``lines`` is a line of its own.

    A heat map has ``y`` for its rows; each point of ``panels`` is a drawing of its own. ``only`` says which point of
    each other axis is shown.
    """

    kind: str = key(choice(*CHARTS))
    title: str = key(text("a title"))
    measure: str | None = key(_MEASURE, None)
    x: str | None = key(_NAME, None)
    y: str | None = key(_NAME, None)
    lines: str | None = key(_NAME, None)
    panels: str | None = key(_NAME, None)
    only: tuple[tuple[str, str], ...] = choices()
    scale: str = key(choice("linear", "log", "log_log"), "linear")
    until: float | None = key(number(above=True), None)
    """Of curves over time: virtual seconds after which nothing is drawn."""


@dataclass(frozen=True, eq=False)
class Part:
    """One set of cells: every point of every axis with every other, or one axis after the other from the first ones."""

    name: str = key(_NAME)
    title: str = key(text("a title"), "")
    vary: str = key(choice(*VARIES), "grid")
    seeds: int | None = key(whole(1, MOST_SEEDS), None)
    target: float | None = key(number(above=True), None)
    """Test accuracy in percent that ``target_round`` and ``target_s`` are about."""
    fixed_time: bool = key(Kind("true or false", _read_truth, choices=("true", "false")), False)
    """Whether every world is to end with its ``time_limit``, which then is nothing to report."""
    world: Node | None = tree()
    axes: tuple[Axis, ...] = sections(Axis)
    measures: tuple[str, ...] = keys(_MEASURE)
    charts: tuple[Chart, ...] = sections(Chart)

    def get_axis(self, name: str) -> Axis:
        """Return an axis that is known to be there."""
        return next(axis for axis in self.axes if axis.name == name)


@dataclass(frozen=True, kw_only=True)
class Claim:
    """Something that was said or is wanted, and how to see whether it holds.

    ``measure`` at the points ``of``, less that at ``less`` where given, seed by seed; with ``over``, of every point
    of that axis. It is to be ``at_most`` or ``at_least`` so much, or the point ``highest`` or ``lowest`` is to be the
    best one of the axis ``over``.
    """

    claim: str = prose()
    source: str = prose()
    published: str = prose("")
    differs: str = prose("")
    """Why our setting is not the published one, or our result cannot be."""
    part: str = key(_NAME)
    measure: str = key(_MEASURE)
    of: tuple[tuple[str, str], ...] = choices()
    less: tuple[tuple[str, str], ...] | None = custom(_read_choices, None)
    over: str | None = key(_NAME, None)
    at_most: float | None = key(number(-1e9), None)
    at_least: float | None = key(number(-1e9), None)
    highest: str | None = key(_NAME, None)
    lowest: str | None = key(_NAME, None)


@dataclass(frozen=True, eq=False)
class Experiment:
    """A question, the worlds that answer it, and what the paper said."""

    title: str = key(text("a title"))
    question: str = prose()
    notes: tuple[str, ...] = custom(_read_proses, ())
    seeds: int = key(whole(1, MOST_SEEDS), 5)
    world: Node | None = tree()
    quick: Node | None = tree()
    """What ``--quick`` makes of every world."""
    parts: tuple[Part, ...] = sections(Part)
    paper: tuple[Claim, ...] = sections(Claim)


def build_points(axis: Axis) -> tuple[Point, ...]:
    """Return the points of an axis that gives values of a key."""
    if axis.key_ is None:
        return axis.points
    return tuple(build_point(axis.key_, node) for node in axis.values)


def build_point(path: str, node: Node) -> Point:
    """Return the point of one value."""
    name = str(node.value) if isinstance(node.value, str) else "+".join(str(item.value) for item in node.value)
    return Point(name=name, at=find_number(name), world=nest(path, node))


def find_number(name: str) -> float | None:
    """Return the number that a name is, its unit left out; None when it is none."""
    found = _NUMBER.fullmatch(name)
    return float(found[1]) if found else None
