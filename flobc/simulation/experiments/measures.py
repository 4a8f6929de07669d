"""What can be said of one cell in one number: each measure has a title, a unit and a function of the cell's record."""

from __future__ import annotations

import statistics
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Record = dict[str, Any]

LAST_ROUNDS = 5
"""Rounds whose accuracies ``settled_accuracy`` averages: one model's accuracy jumps from round to round."""
_PERCENT = 100
_MINUTE_MS = 60_000


@dataclass(frozen=True)
class Outcome:
    """What one cell found: its record, and of the run that made it seconds and bytes of memory."""

    record: Record
    seconds: float | None = None
    memory_bytes: int | None = None

    def get_column(self, name: str) -> list[Any]:
        """Return one value a round."""
        found: list[Any] = self.record["rounds"].get(name, [])
        return found

    def list_tests(self) -> list[tuple[int, int, float]]:
        """Return round, virtual milliseconds and test accuracy in percent of every tested model."""
        columns = (self.get_column(name) for name in ("height", "virtual_ms", "test_accuracy"))
        return [
            (height, at_ms, _PERCENT * accuracy)
            for height, at_ms, accuracy in zip(*columns, strict=True)
            if accuracy is not None
        ]


Compute = Callable[[Outcome, float | None], float | None]


@dataclass(frozen=True)
class Measure:
    """A number that each cell has, or has not: ``compute`` takes the cell and the experiment's target in percent."""

    title: str
    unit: str
    compute: Compute
    timed: bool = False
    """Whether it depends on the machine, so that it is no part of what repeats byte for byte."""

    @property
    def label(self) -> str:
        """Title and unit."""
        return f"{self.title} ({self.unit})" if self.unit else self.title


def _final(outcome: Outcome, target: float | None) -> float | None:
    del target
    tests = outcome.list_tests()
    return tests[-1][2] if tests else None


def _settled(outcome: Outcome, target: float | None) -> float | None:
    del target
    tests = outcome.list_tests()[-LAST_ROUNDS:]
    return statistics.fmean(accuracy for _, _, accuracy in tests) if tests else None


def _best(outcome: Outcome, target: float | None) -> float | None:
    del target
    return max((accuracy for _, _, accuracy in outcome.list_tests()), default=None)


def _best_round(outcome: Outcome, target: float | None) -> float | None:
    best = _best(outcome, target)
    return next((height for height, _, accuracy in outcome.list_tests() if accuracy == best), None)


def _target_round(outcome: Outcome, target: float | None) -> float | None:
    reached = (height for height, _, accuracy in outcome.list_tests() if target is not None and accuracy >= target)
    return next(reached, None)


def _target_s(outcome: Outcome, target: float | None) -> float | None:
    reached = (at_ms for _, at_ms, accuracy in outcome.list_tests() if target is not None and accuracy >= target)
    found = next(reached, None)
    return None if found is None else found / 1000


def _virtual_s(outcome: Outcome, target: float | None) -> float | None:
    del target
    return float(outcome.record["virtual_ms"]) / 1000


def _pace(outcome: Outcome, target: float | None) -> float | None:
    del target
    spent_ms = float(outcome.record["virtual_ms"])
    return _MINUTE_MS * float(outcome.record["height"]) / spent_ms if spent_ms else None


def _per_round(*names: str) -> Compute:
    def compute(outcome: Outcome, target: float | None) -> float | None:
        del target
        height = outcome.record["height"]
        return sum(sum(outcome.get_column(name)) for name in names) / height if height else None

    return compute


def _rejected_share(outcome: Outcome, target: float | None) -> float | None:
    del target
    rejected = sum(sum(found.values()) for found in outcome.get_column("rejected"))
    decided = rejected + sum(outcome.get_column("accepted"))
    return _PERCENT * rejected / decided if decided else None


def _backdoor(outcome: Outcome, target: float | None) -> float | None:
    del target
    found = outcome.record.get("backdoor")
    return None if found is None else _PERCENT * float(found)


def _of_trainers(name: str, choose: Callable[[str], bool], combine: Callable[[list[float]], float]) -> Compute:
    """Return what combines one value of each trainer whose attack (empty if honest) is chosen."""

    def compute(outcome: Outcome, target: float | None) -> float | None:
        del target
        columns = outcome.record["trainers"]
        found = [value for value, attack in zip(columns[name], columns["attack"], strict=True) if choose(attack)]
        return _PERCENT * combine(found) if found else None

    return compute


def _of_record(name: str) -> Compute:
    def compute(outcome: Outcome, target: float | None) -> float | None:
        del target
        found = outcome.record.get(name)
        return None if found is None else float(found)

    return compute


def _stopped(outcome: Outcome, target: float | None) -> float | None:
    del target
    return _PERCENT * float(outcome.record["status"] != "finished")


def _seconds(outcome: Outcome, target: float | None) -> float | None:
    del target
    return outcome.seconds


def _seconds_per_round(outcome: Outcome, target: float | None) -> float | None:
    del target
    height = outcome.record["height"]
    return None if outcome.seconds is None or not height else outcome.seconds / height


def _memory(outcome: Outcome, target: float | None) -> float | None:
    del target
    return None if outcome.memory_bytes is None else outcome.memory_bytes / 2**20


MEASURES: dict[str, Measure] = {
    "final_accuracy": Measure("test accuracy of the last round", "%", _final),
    "settled_accuracy": Measure(f"test accuracy, mean of the last {LAST_ROUNDS} rounds", "%", _settled),
    "best_accuracy": Measure("best test accuracy", "%", _best),
    "best_round": Measure("round of the best", "", _best_round),
    "target_round": Measure("first round at the target", "", _target_round),
    "target_s": Measure("virtual time to the target", "s", _target_s),
    "virtual_s": Measure("virtual time in all", "s", _virtual_s),
    "rounds_per_minute": Measure("rounds a virtual minute", "1/min", _pace),
    "height": Measure("blocks", "", _of_record("height")),
    "accepted": Measure("updates accepted a round", "", _per_round("accepted")),
    "rejected_share": Measure("updates rejected", "%", _rejected_share),
    "payload_bytes": Measure("payload a round", "B", _per_round("payload_bytes")),
    "log_bytes": Measure("log a round", "B", _per_round("log_bytes")),
    "backdoor_success": Measure("backdoor success", "%", _backdoor),
    "attackers_trust": Measure("attackers' share of trust", "%", _of_trainers("trust_share", bool, sum)),
    "attackers_weight": Measure("attackers' weight in a block", "%", _of_trainers("weight_share", bool, sum)),
    "highest_trust": Measure("highest trust share", "%", _of_trainers("trust_share", lambda _: True, max)),
    "lowest_trust": Measure("lowest trust share", "%", _of_trainers("trust_share", lambda _: True, min)),
    "lowest_honest_trust": Measure(
        "lowest trust share of an honest trainer", "%", _of_trainers("trust_share", lambda name: not name, min)
    ),
    "stopped": Measure("chains that did not reach the last round", "%", _stopped),
    "forks": Measure("heights with two certificates", "", _of_record("forks")),
    "evidence": Measure("keys convicted", "", _of_record("evidence")),
    "seconds": Measure("processor time", "s", _seconds, timed=True),
    "seconds_per_round": Measure("processor time a round", "s", _seconds_per_round, timed=True),
    "memory_mib": Measure("most memory", "MiB", _memory, timed=True),
}
