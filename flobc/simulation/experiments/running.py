"""Carry out an experiment: the cells that are missing, then the page about all of them."""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flobc.composition.run_directory import lock_directory
from flobc.composition.sheets import describe_machine
from flobc.errors import DataError, UsageError
from flobc.learning.suggest import suggest
from flobc.simulation.experiments.cells import Cell, Extent, count_seeds, list_cells
from flobc.simulation.experiments.claims import Verdict
from flobc.simulation.experiments.figures import Points, gather
from flobc.simulation.experiments.loading import Loaded
from flobc.simulation.experiments.measures import Outcome
from flobc.simulation.experiments.report import Conditions, judge_all, write_report
from flobc.simulation.experiments.storage import CellStore, Failure, Run, has_cell
from flobc.simulation.experiments.workers import Finished, carry_out


class Watcher(Protocol):
    """Who wants to see an experiment go on."""

    def on_start(self, cells: int, missing: int) -> None:
        """So many cells are asked for, and so many of them are not there yet."""

    def on_cell(self, finished: Finished) -> None:
        """A cell ended."""


@dataclass(frozen=True)
class Order:
    """What is asked of an experiment beside its file: how much of it, which cells, by how many processes."""

    extent: Extent
    only: str | None = None
    workers: int = 1
    command: str = ""


@dataclass(frozen=True)
class Finding:
    """An experiment's end: its verdicts, and how many cells it has, lacks, and why."""

    verdicts: tuple[Verdict, ...]
    cells: int
    missing: int
    failures: tuple[Failure, ...]


def run_experiment(loaded: Loaded, order: Order, directory: Path, watcher: Watcher) -> Finding:
    """Carry out the cells that ``directory`` lacks and write the report about those that are there.

    Whoever interrupts it loses the cells that are being computed; the same command goes on with the others.

    **Raises** UsageError for worlds that cannot be or a directory that holds something else, DataError for data sets
    that are not here.
    """
    cells = list_cells(f"{loaded.name}.yaml", loaded.experiment, order.extent)
    chosen = choose_cells(cells, order.only)
    require_data_sets([cell for cell in chosen if not has_cell(directory, cell)])
    store = CellStore(directory, loaded.text)
    with lock_directory(directory):
        missing = [cell for cell in unite(chosen) if store.find(cell) is None]
        watcher.on_start(len(unite(chosen)), len(missing))
        machine = describe_machine()
        with closing(carry_out(missing, order.workers, order.extent.data_directory)) as ended:
            for finished in ended:
                keep(store, finished, machine)
                watcher.on_cell(finished)
        store.finish()
        return report(loaded, order, cells, store)


def require_data_sets(cells: Sequence[Cell]) -> None:
    """Check, before anything is computed or written, that what cells learn from is here. **Raises** DataError."""
    for folder in sorted({cell.data_set for cell in cells if cell.data_set is not None}):
        if not folder.is_dir():
            raise DataError(
                f"There is no {folder.name} in {folder.parent}, and cells such as "
                f"{next(cell.name for cell in cells if cell.data_set == folder)} learn from it; run: flobc data fetch "
                f"{folder.name} --data-dir {folder.parent} (or choose cells that do without it by --only)."
            )


def keep(store: CellStore, finished: Finished, machine: str) -> None:
    """Keep what a cell found, or why it did not."""
    if finished.record is None:
        store.keep_failure(finished.cell, finished.reason)
    else:
        run = Run(finished.cell.digest, finished.seconds, finished.memory_bytes, machine)
        store.keep(finished.cell, finished.record, run)


def report(loaded: Loaded, order: Order, cells: Sequence[Cell], store: CellStore) -> Finding:
    """Write the page about every cell that is there."""
    outcomes: dict[tuple[str, Points, int], Outcome] = {}
    spent: dict[str, float] = {}
    for cell in cells:
        outcome = store.find(cell)
        if outcome is not None:
            outcomes[cell.part, tuple(point for _, point in cell.points), cell.seed] = outcome
            spent[cell.digest] = outcome.seconds or 0.0
    found = gather(loaded.experiment, outcomes)
    failures = tuple(failure for _, failure in sorted(store.failures.items()))
    conditions = Conditions(
        command=order.command,
        seeds=describe_seeds(loaded, order.extent),
        machines=store.machines,
        cells=len(unite(cells)),
        missing=len(unite(cells)) - len(spent),
        failures=failures,
        seconds=sum(spent.values()),
    )
    write_report(store.directory, loaded.name, loaded.experiment, found, conditions)
    verdicts = tuple(judge_all(loaded.experiment, found))
    return Finding(verdicts, conditions.cells, conditions.missing, failures)


def unite(cells: Sequence[Cell]) -> list[Cell]:
    """Return the cells without those that are another one under a further name."""
    return list({cell.digest: cell for cell in reversed(cells)}.values())[::-1]


def choose_cells(cells: Sequence[Cell], only: str | None) -> list[Cell]:
    """Return the cells whose name fits a pattern, or a piece of it. **Raises** UsageError when there is none."""
    if only is None:
        return list(cells)
    pattern = only if any(sign in only for sign in "*?[") else f"*{only}*"
    chosen = [cell for cell in cells if fnmatch.fnmatchcase(cell.name, pattern)]
    if not chosen:
        names = [cell.name for cell in cells]
        raise UsageError(f"No cell's name fits --only {only}{suggest(only, names)} --list shows all {len(names)}.")
    return chosen


def describe_seeds(loaded: Loaded, extent: Extent) -> str:
    """Return which seeds were taken."""
    counts = {part.name: count_seeds(loaded.experiment, part, extent) for part in loaded.experiment.parts}
    if len(set(counts.values())) == 1:
        return f"seeds 1 to {next(iter(counts.values()))}"
    return "seeds from 1 on: " + ", ".join(f"{count} for {name}" for name, count in counts.items())
