"""The cells of an experiment: each is one world with one seed, known by a digest of all that its result depends on."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flobc import __version__
from flobc.composition.run_directory import settings_to_json
from flobc.learning.data.fetch import SOURCES
from flobc.simulation.document import Node, Source, build_node, merge, write_node
from flobc.simulation.experiments.experiment import Experiment, Part, Point
from flobc.simulation.loading import World, check_world

FORMAT = 1
"""Raised when a record says more or other things, so that older ones are not taken for it."""
_QUICK_ROUNDS = 3
_MACHINE = ("data_directory", "workers", "device")


@dataclass(frozen=True)
class Cell:
    """One simulation: a point of each axis of a part, and a seed. ``text`` is its whole scenario as a file's."""

    part: str
    points: tuple[tuple[str, str], ...]
    seed: int
    text: str
    centralised: str | None
    digest: str
    data_set: Path | None = None
    """The folder of the public data set that its task reads; None when the task has its own data."""

    @property
    def name(self) -> str:
        """What people call it."""
        return "/".join((self.part, *(point for _, point in self.points), f"seed-{self.seed}"))


@dataclass(frozen=True)
class Extent:
    """How much of an experiment is run: its own number of seeds unless ``seeds``, few rounds with ``quick``."""

    seeds: int | None = None
    quick: bool = False
    data_directory: Path | None = None


def list_cells(name: str, experiment: Experiment, extent: Extent) -> list[Cell]:
    """Return every cell of every part. **Raises** UsageError naming file, line and key of a world that cannot be."""
    return [cell for part in experiment.parts for cell in _iterate_cells(name, experiment, part, extent)]


def list_combinations(part: Part) -> list[tuple[Point, ...]]:
    """Return the points of all axes that are measured together, in the order of the axes."""
    points = [axis.points for axis in part.axes]
    if part.vary == "grid":
        return list(itertools.product(*points))
    first = tuple(found[0] for found in points)
    others = [(*first[:place], point, *first[place + 1 :]) for place, found in enumerate(points) for point in found[1:]]
    return [first, *others]


def count_seeds(experiment: Experiment, part: Part, extent: Extent) -> int:
    """Return how often each point is measured."""
    return extent.seeds or (1 if extent.quick else part.seeds or experiment.seeds)


def _iterate_cells(name: str, experiment: Experiment, part: Part, extent: Extent) -> Iterator[Cell]:
    names = [axis.name for axis in part.axes]
    for points in list_combinations(part):
        pieces = [experiment.world, part.world, *(point.world for point in points)]
        if extent.quick:
            pieces += [build_node({"run": {"rounds": _QUICK_ROUNDS}}), experiment.quick]
        for seed in range(1, count_seeds(experiment, part, extent) + 1):
            node = build_node({})
            for piece in (*pieces, build_node({"run": {"seed": seed}})):
                node = node if piece is None else merge(node, piece)
            chosen = [point.centralised for point in points if point.centralised is not None]
            yield _build_cell(
                Source(name),
                node,
                Cell(
                    part=part.name,
                    points=tuple(zip(names, (point.name for point in points), strict=True)),
                    seed=seed,
                    text="",
                    centralised=chosen[0] if chosen else None,
                    digest="",
                ),
                extent,
            )


def _build_cell(source: Source, node: Node, cell: Cell, extent: Extent) -> Cell:
    text = write_node(node)
    world = check_world(source, node, data_directory=extent.data_directory)
    digest, data_set = compute_digest(world, cell.centralised), find_data_set(world)
    return dataclasses.replace(cell, text=text, digest=digest, data_set=data_set)


def find_data_set(world: World) -> Path | None:
    """Return the folder in which the task looks for a public data set, there or not; None when it reads none."""
    name, directory = world.settings.task.partition(":")[0], world.settings.data_directory
    return directory / name if name in SOURCES and directory is not None else None


def compute_digest(world: World, centralised: str | None) -> str:
    """Return the fingerprint of everything that a cell's result depends on, but for the machine."""
    text = json.dumps(describe_world(world, centralised), sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def describe_world(world: World, centralised: str | None) -> dict[str, Any]:
    """Return the whole world as JSON data, defaults written out."""
    settings = settings_to_json(world.settings)
    for name in (*_MACHINE, "preset"):
        del settings[name]
    scenario = world.scenario
    parts = (scenario.network, scenario.speeds, scenario.churn, scenario.partitions, scenario.clocks, scenario.attacks)
    return {
        "format": FORMAT,
        "version": __version__,
        "settings": settings,
        "params": dataclasses.asdict(world.settings.params),
        "run": [scenario.run.participation, scenario.run.admission, scenario.run.time_limit],
        "world": [repr(part) for part in parts],
        "centralised": centralised,
    }
