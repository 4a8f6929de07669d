"""What every study needs: a file of finished runs, means with their confidence, and a table."""

from __future__ import annotations

import contextlib
import json
import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from scipy import stats

from flobc.errors import UsageError

Record = dict[str, Any]

CONFIDENCE = 0.95


@dataclass
class CellFile:
    """One line of JSON per finished run, written as soon as it is there: ``{"cell", "result", "machine"}``.

    A cell says what was run, with everything its result depends on, so a study that is started again
    finds what it has. ``path`` None keeps the lines in memory only.
    """

    path: Path | None
    machine: str
    records: list[Record] = field(default_factory=list)

    @classmethod
    def open(cls, path: Path | None, machine: str, resume: bool) -> CellFile:
        """Read the file's whole lines. **Raises** UsageError when there are some and ``resume`` was not asked for."""
        records = _read_records(path) if path is not None and path.exists() else []
        if records and not resume:
            raise UsageError(f"{path} holds {len(records)} finished runs; add --resume or choose another --out.")
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            # A line that a killed study left half written would spoil the next one.
            path.write_text("".join(map(_encode_record, records)), encoding="utf-8")
        return cls(path, machine, records)

    def find(self, cell: Record) -> Record | None:
        """The result of a finished run."""
        return next((record["result"] for record in self.records if record["cell"] == cell), None)

    def append(self, cell: Record, result: Record) -> None:
        """Keep a finished run."""
        record = {"cell": cell, "result": result, "machine": self.machine}
        self.records.append(record)
        if self.path is not None:
            with self.path.open("a", encoding="utf-8") as file:
                file.write(_encode_record(record))


def _encode_record(record: Record) -> str:
    return json.dumps(record, sort_keys=True) + "\n"


def _read_records(path: Path) -> list[Record]:
    records = []
    for line in path.read_text(encoding="utf-8").splitlines():
        with contextlib.suppress(ValueError):
            records.append(json.loads(line))
    return records


@dataclass(frozen=True)
class Estimate:
    """A mean and half the width of its 95 % confidence interval; infinite for a single value."""

    mean: float
    half: float

    def __str__(self) -> str:
        return f"{self.mean:.2f} +- {self.half:.2f}" if math.isfinite(self.half) else f"{self.mean:.2f}"


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Estimate the mean of independent, near normal values. **Source**: Student 1908."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean, math.inf)
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, len(values) - 1))
    return Estimate(mean, quantile * statistics.stdev(values) / math.sqrt(len(values)))


def judge_bar(loss: Estimate, bar: float) -> str:
    """Say whether a loss keeps below its bar, and whether the whole interval does."""
    if loss.mean > bar:
        return f"bar {bar:g}: MISSED"
    return f"bar {bar:g}: met" + ("" if loss.mean + loss.half <= bar else " by the mean, not by the whole interval")


def format_columns(lines: Sequence[Sequence[str]]) -> str:
    """Lay rows of equal length out in columns, the first one to the left."""
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if column == 0 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
