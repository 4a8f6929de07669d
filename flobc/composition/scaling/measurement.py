"""What one measurement of a step found, and the file that keeps each as soon as it is there."""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from flobc.adapters.filesystem import read_regular, write_atomically
from flobc.composition.scaling.plan import LoadPlan, Step
from flobc.errors import UsageError

MEASUREMENTS = "measurements.jsonl"
PLAN = "plan.json"
SOURCE = "plan.yaml"
"""The plan as it was given, so that the directory says how to repeat it."""
_MAX_BYTES = 1 << 28


@dataclass(frozen=True)
class Measurement:
    """One repeat of one step.

    ``decided`` and ``accepted`` count updates of the blocks in the window, ``round_s`` are the times between them.
    ``cores`` are processors in use by role, ``machine_share`` the busiest machine's share of its own (None where it
    cannot be had). ``checks`` says of each invariant what was looked at; one that does not hold is an error, and no
    measurement.
    """

    trainers: int
    validators: int
    repeat: int
    seconds: float
    decided: int
    accepted: int
    round_s: tuple[float, ...]
    cores: Mapping[str, float] = field(default_factory=dict)
    machine_share: float | None = None
    checks: Mapping[str, str] = field(default_factory=dict)

    @property
    def step(self) -> Step:
        """The mix that was measured."""
        return Step(self.trainers, self.validators)

    @property
    def updates_per_s(self) -> float:
        """Updates that blocks decided, a second."""
        return self.decided / self.seconds


def compute_plan_digest(plan: LoadPlan, target: str) -> str:
    """Fingerprint of a plan and of what it is run on: measurements of one do not pass for another's."""
    text = json.dumps([plan.describe(), target], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()


class MeasurementFile:
    """The measurements of one plan in a directory, one a line; a line that was half written is measured again.

    **Raises** UsageError when the directory holds another plan's.
    """

    def __init__(self, directory: Path, plan: LoadPlan, target: str) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self._path = directory / MEASUREMENTS
        described = {"digest": compute_plan_digest(plan, target), "target": target, "plan": plan.describe()}
        stored = read_regular(directory / PLAN, _MAX_BYTES)
        if stored is None:
            if any(path.name != SOURCE for path in directory.iterdir()):
                raise UsageError(
                    f"The directory {directory} is not empty and holds no load test; choose another --output."
                )
            write_atomically(directory / SOURCE, [plan.source.encode()])
            write_atomically(directory / PLAN, [json.dumps(described, indent=2).encode()])
            return
        changed = _find_change(stored, described)
        if changed is not None:
            raise UsageError(
                f"The directory {directory} holds measurements of a plan with another {changed}, and they would not "
                "compare; choose another --output, or go on with that plan."
            )

    def load(self) -> list[Measurement]:
        """Return every whole measurement."""
        found = []
        text = (read_regular(self._path, _MAX_BYTES) or b"").decode(errors="replace")
        for line in text.splitlines():
            with contextlib.suppress(ValueError, TypeError, KeyError):
                data = json.loads(line)
                found.append(Measurement(**{**data, "round_s": tuple(map(float, data["round_s"]))}))
        return found

    def append(self, measurement: Measurement) -> None:
        """Keep a measurement."""
        whole = (read_regular(self._path, _MAX_BYTES) or b"").rpartition(b"\n")[0]
        line = json.dumps(dataclasses.asdict(measurement), sort_keys=True).encode()
        write_atomically(self._path, [whole + b"\n" if whole else b"", line + b"\n"])


def _find_change(stored: bytes, described: Mapping[str, Any]) -> str | None:
    """Name what two plans differ in; None when they are one."""
    try:
        data = json.loads(stored)
        if data["digest"] == described["digest"]:
            return None
        if data["target"] != described["target"]:
            return f"target ({data['target']})"
        now = json.loads(json.dumps(described["plan"]))
        return next((name for name in now if data["plan"].get(name) != now[name]), "form")
    except (ValueError, KeyError, TypeError, AttributeError):
        return "form (its plan.json is damaged)"


def compute_percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that a share of all does not exceed (nearest rank)."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
