"""What a simulation found: numbers per round and per trainer that depend on scenario and version alone."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from flobc import __version__
from flobc.adapters.filesystem import write_atomically
from flobc.composition.reports import describe_outcome
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.params import SCORE_ONE

JSON_NAME, CSV_NAME, TRAINERS_NAME = "results.json", "results.csv", "trainers.csv"


@dataclass(frozen=True)
class RoundRow:
    """One block. ``loss`` and ``accuracy`` are the validators' medians for the model it started from.

    ``virtual_ms`` is when it was certified, ``payload_bytes`` and ``log_bytes`` what this round added to both topics,
    ``rejected`` how many updates were refused for each reason, ``unused`` how many were good enough but superseded or a
    copy, staleness that of the accepted ones in heights.
    """

    height: int
    virtual_ms: int
    closing: str
    test_accuracy: float | None
    test_loss: float | None
    accuracy: float | None
    loss: float | None
    accepted: int
    rejected: dict[str, int]
    unused: int
    payload_bytes: int
    log_bytes: int
    mean_staleness: float
    max_staleness: int
    awake: int
    head: str


@dataclass(frozen=True)
class TrainerRow:
    """One trainer at the end: its share of all trust, its mean weight in a block, and what became of its updates."""

    trainer: int
    key: str
    examples: int
    training_ms: int
    trust_share: float
    weight_share: float
    accepted: int
    rejected: int
    attack: str


@dataclass(frozen=True)
class Results:
    """Everything that a simulation found."""

    scenario: str
    settings: dict[str, Any]
    head: str
    height: int
    virtual_ms: int
    rounds: tuple[RoundRow, ...]
    trainers: tuple[TrainerRow, ...]
    network_bytes: dict[str, int]

    @property
    def test_accuracy(self) -> float | None:
        """The last model's accuracy on the test set."""
        return self.rounds[-1].test_accuracy if self.rounds else None


def build_row(state: ChainState, virtual_ms: int, log_bytes: int, awake: int) -> RoundRow:
    """Return the row of a block that was certified just now; its model is not tested yet."""
    head = state.head
    rejected = Counter(describe_outcome(decision) for decision in head.rejected)
    unused = len(head.body.decisions) - len(head.accepted) - len(head.rejected)
    staleness = [decision.staleness for decision in head.accepted]
    header = head.header
    return RoundRow(
        height=head.height,
        virtual_ms=virtual_ms,
        closing=header.closing.name.lower(),
        test_accuracy=None,
        test_loss=None,
        accuracy=None if header.accuracy is None else header.accuracy / SCORE_ONE,
        loss=None if header.loss is None else header.loss / SCORE_ONE,
        accepted=len(head.accepted),
        rejected=dict(sorted(rejected.items())),
        unused=unused,
        payload_bytes=sum(item.size_bytes for item in head.body.headers),
        log_bytes=log_bytes,
        mean_staleness=sum(staleness) / len(staleness) if staleness else 0.0,
        max_staleness=max(staleness, default=0),
        awake=awake,
        head=state.head_digest.hex(),
    )


def add_test(row: RoundRow, loss: float, accuracy: float) -> RoundRow:
    """Return the row of a block whose model was tested."""
    return replace(row, test_loss=loss, test_accuracy=accuracy)


def save_results(directory: Path, results: Results) -> None:
    """Write results.json, results.csv and trainers.csv. **Raises** OSError."""
    directory.mkdir(parents=True, exist_ok=True)
    reasons = sorted({reason for row in results.rounds for reason in row.rejected})
    rounds = [_flatten(row, reasons) for row in results.rounds]
    names = [*(item.name for item in fields(RoundRow) if item.name != "rejected"), *map(_name_reason, reasons)]
    write_atomically(directory / JSON_NAME, [json.dumps(describe_results(results), indent=1).encode() + b"\n"])
    write_atomically(directory / CSV_NAME, [_write_csv(names, rounds)])
    trainers = [asdict(row) for row in results.trainers]
    write_atomically(directory / TRAINERS_NAME, [_write_csv([item.name for item in fields(TrainerRow)], trainers)])


def describe_results(results: Results) -> dict[str, Any]:
    """Return the results as JSON data: no word of the machine, so that equal worlds make equal files."""
    return {"version": __version__, **asdict(results)}


def _flatten(row: RoundRow, reasons: list[str]) -> dict[str, Any]:
    data = asdict(row)
    rejected = data.pop("rejected")
    return data | {_name_reason(reason): rejected.get(reason, 0) for reason in reasons}


def _name_reason(reason: str) -> str:
    return f"rejected_{reason}"


def _write_csv(names: list[str], rows: list[dict[str, Any]]) -> bytes:
    file = io.StringIO()
    writer = csv.DictWriter(file, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue().encode()
