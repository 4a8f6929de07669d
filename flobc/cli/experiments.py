"""``flobc experiment``: repeat a study with every seed, and write the page about it."""

from __future__ import annotations

import os
import shlex
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from flobc.cli import kinds
from flobc.cli.output import Talk, print_fields, print_json, print_table
from flobc.cli.places import expand_path, get_data_directory, get_data_home
from flobc.cli.scaling import require_operator
from flobc.cli.terminal import is_plain
from flobc.composition.wording import show_count
from flobc.errors import UsageError
from flobc.simulation.experiments.cells import Extent, list_cells
from flobc.simulation.experiments.loading import Loaded, list_experiments, load_experiment
from flobc.simulation.experiments.workers import Finished

EXIT_FAILED = 1
_VERDICTS = {True: "met", False: "NOT met", None: "open"}


def execute(arguments: Namespace) -> int:
    """Carry out an experiment, or list what there is; returns 1 when a cell failed."""
    extent = Extent(
        seeds=None if arguments.seeds is None else kinds.whole(1, 1_000).read("--seeds", arguments.seeds),
        quick=arguments.quick,
        data_directory=get_data_directory(),
    )
    if arguments.experiment is None:
        if not arguments.list:
            raise UsageError("flobc experiment needs the name of an experiment or a file; --list shows the names.")
        return print_names(as_json=arguments.json)
    loaded = load_experiment(arguments.experiment)
    if arguments.list:
        return print_cells(loaded, extent, as_json=arguments.json)
    return carry_out(loaded, extent, arguments)


def print_names(*, as_json: bool) -> int:
    """Print the experiments that come with FLoBC."""
    found = {name: load_experiment(str(path)).experiment.title for name, path in list_experiments().items()}
    if as_json:
        print_json({"experiments": found})
    else:
        print_table(("experiment", "about"), found.items())
    return 0


def print_cells(loaded: Loaded, extent: Extent, *, as_json: bool) -> int:
    """Print the names of an experiment's cells."""
    names = [cell.name for cell in list_cells(f"{loaded.name}.yaml", loaded.experiment, extent)]
    if as_json:
        print_json({"experiment": loaded.name, "cells": names})
    else:
        for name in names:
            print(name)
    return 0


def carry_out(loaded: Loaded, extent: Extent, arguments: Namespace) -> int:
    """Carry out the cells that are missing and write the report."""
    require_operator("flobc experiment", "matplotlib")
    from flobc.simulation.experiments.running import Order, run_experiment  # noqa: PLC0415 - an optional package

    talk = Talk(arguments.quiet)
    workers = kinds.whole(0, 1_024).read("--workers", arguments.workers) or os.cpu_count() or 1
    directory = choose_directory(loaded, extent, arguments.output)
    order = Order(extent, arguments.only, workers, build_command(arguments))
    try:
        with build_watcher(talk) as watcher:
            finding = run_experiment(loaded, order, directory, watcher)
    except KeyboardInterrupt:
        talk.say(f"Stopped; finished cells are in {directory}, and the same command goes on from there.")
        raise
    if arguments.json:
        print_json(
            {
                "experiment": loaded.name,
                "directory": str(directory),
                "cells": finding.cells,
                "missing": finding.missing,
                "failed": [failure.name for failure in finding.failures],
                "claims": [
                    {"claim": verdict.claim.claim, "met": verdict.met, "found": verdict.words}
                    for verdict in finding.verdicts
                ],
            }
        )
    else:
        for verdict in finding.verdicts:
            print(f"{_VERDICTS[verdict.met]}: {verdict.claim.claim} Here: {verdict.words}.")
        done = finding.cells - finding.missing
        fields = [("cells", f"{done} of {finding.cells}"), ("report", directory / "report.md")]
        print_fields([*fields, *([("failed", len(finding.failures))] if finding.failures else [])])
    return EXIT_FAILED if finding.failures else 0


def choose_directory(loaded: Loaded, extent: Extent, given: str | None) -> Path:
    """Return where cells and report go: a quick look never among the real ones."""
    if given is not None:
        return expand_path(given)
    return get_data_home() / "experiments" / (f"{loaded.name}-quick" if extent.quick else loaded.name)


def build_command(arguments: Namespace) -> str:
    """Return the command line that does the same again, but for where."""
    words = ["flobc", "experiment", Path(arguments.experiment).name]
    for name in ("seeds", "only"):
        if getattr(arguments, name) is not None:
            words += [f"--{name}", getattr(arguments, name)]
    return shlex.join([*words, *(["--quick"] if arguments.quick else [])])


class PlainWatcher:
    """Says a line a cell on stderr."""

    def __init__(self, talk: Talk) -> None:
        self._talk = talk
        self._done = self._missing = 0

    def on_start(self, cells: int, missing: int) -> None:
        """Say how much there is to do."""
        self._missing = missing
        self._talk.say(f"{show_count(cells, 'cell')}, {missing} of them to be computed")

    def on_cell(self, finished: Finished) -> None:
        """Say that a cell ended."""
        self._done += 1
        self._talk.say(describe_cell(finished, f"{self._done}/{self._missing}"))


@contextmanager
def build_watcher(talk: Talk) -> Iterator[PlainWatcher]:
    """Yield who shows how an experiment goes on: a bar with rate and time left where a terminal can draw it."""
    if talk.quiet or is_plain():
        yield PlainWatcher(talk)
        return
    from flobc.cli.cell_bar import CellBar  # noqa: PLC0415 - only where there is a terminal

    with CellBar(talk) as bar:
        yield bar


def describe_cell(finished: Finished, place: str) -> str:
    """Return a cell's end as one line."""
    ended = f"{finished.seconds:.1f} s" if finished.record is not None else f"FAILED: {finished.reason}"
    return f"{place}  {finished.cell.name}  {ended}"
