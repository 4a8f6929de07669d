"""Where an experiment's cells are kept: a file for each, whole or not there, named by the cell's digest.

::

    DIR/experiment.yaml   what was asked      DIR/runs.jsonl       seconds, memory and machine of each cell's run
    DIR/cells/            records             DIR/failures.jsonl   cells that ended without a record, and why
"""

from __future__ import annotations

import contextlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from flobc.adapters.filesystem import read_regular, remove_unfinished, write_atomically
from flobc.errors import DataError, UsageError
from flobc.simulation.experiments.cells import Cell
from flobc.simulation.experiments.measures import Outcome, Record

SOURCE, CELLS, RUNS, FAILURES = "experiment.yaml", "cells", "runs.jsonl", "failures.jsonl"
_MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class Run:
    """How the run of one cell went on its machine: no part of what repeats byte for byte."""

    cell: str
    seconds: float
    memory_bytes: int
    machine: str


@dataclass(frozen=True)
class Failure:
    """A cell that ended without a record."""

    cell: str
    name: str
    reason: str


def has_cell(directory: Path, cell: Cell) -> bool:
    """Return whether there is a record of a cell in an experiment's directory, there or not."""
    return (directory / CELLS / f"{cell.digest}.json").is_file()


class CellStore:
    """The files of one experiment. **Raises** UsageError when the directory holds something else."""

    def __init__(self, directory: Path, text: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        if not (directory / SOURCE).is_file() and any(directory.iterdir()):
            raise UsageError(f"{directory} is not empty and holds no experiment; choose another --output.")
        self.directory = directory
        write_atomically(directory / SOURCE, [text.encode()])
        (directory / CELLS).mkdir(exist_ok=True)
        remove_unfinished(directory / CELLS)
        self._runs = {run.cell: run for run in self._load_runs()}
        self.failures: dict[str, Failure] = {}

    @property
    def machines(self) -> list[str]:
        """Every machine that cells were measured on."""
        return sorted({run.machine for run in self._runs.values()})

    def find(self, cell: Cell) -> Outcome | None:
        """Return what a cell found, None when it was not carried out. **Raises** DataError when its file is damaged."""
        path = self._get_path(cell.digest)
        data = read_regular(path, _MAX_BYTES)
        if data is None:
            return None
        try:
            record: Record = json.loads(data)
            if record["cell"] != cell.digest:
                raise ValueError(f"it is of the cell {record['cell']}")
        except (ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is damaged ({error}); remove it, and the same command makes it again.") from error
        run = self._runs.get(cell.digest)
        return Outcome(record, None if run is None else run.seconds, None if run is None else run.memory_bytes)

    def keep(self, cell: Cell, record: Record, run: Run) -> None:
        """Keep what a cell found; its file comes last, so a cell that is there is whole."""
        self._runs[run.cell] = run
        write_lines(self.directory / RUNS, [asdict(found) for _, found in sorted(self._runs.items())])
        if self.failures.pop(cell.digest, None) is not None:
            self._write_failures()
        write_atomically(self._get_path(cell.digest), [encode_record(cell, record)])

    def keep_failure(self, cell: Cell, reason: str) -> None:
        """Keep why a cell ended without a record; it is tried again the next time."""
        self.failures[cell.digest] = Failure(cell.digest, cell.name, reason)
        self._write_failures()

    def finish(self) -> None:
        """Forget the failures of former times."""
        self._write_failures()

    def _write_failures(self) -> None:
        path = self.directory / FAILURES
        if self.failures:
            write_lines(path, [asdict(found) for _, found in sorted(self.failures.items())])
        else:
            path.unlink(missing_ok=True)

    def _get_path(self, digest: str) -> Path:
        return self.directory / CELLS / f"{digest}.json"

    def _load_runs(self) -> list[Run]:
        found = []
        text = (read_regular(self.directory / RUNS, _MAX_BYTES) or b"").decode(errors="replace")
        for line in text.splitlines():
            with contextlib.suppress(ValueError, TypeError):
                found.append(Run(**json.loads(line)))
        return found


def encode_record(cell: Cell, record: Record) -> bytes:
    """Return a cell's file: what was asked, so that anybody can do it again, and what was found."""
    data = {"cell": cell.digest, "centralised": cell.centralised, "scenario": cell.text, **record}
    lines = ",\n".join(f'"{name}": {json.dumps(data[name], separators=(",", ":"))}' for name in data)
    return f"{{\n{lines}\n}}\n".encode()


def write_lines(path: Path, rows: list[dict[str, Any]]) -> None:
    """Write one JSON object a line."""
    write_atomically(path, ["".join(json.dumps(row, sort_keys=True) + "\n" for row in rows).encode()])
