"""What a person may choose for a run: one frozen object, checked once, before anything is made."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from flobc.errors import UsageError
from flobc.learning.task import TrainSettings
from flobc.protocol.params import ChainParams, get_fault_tolerance

Clock = Literal["virtual", "wall"]
_RANGES = {
    "trainers": (1, 1_000_000),
    "validators": (1, 10_000),
    "rounds": (1, 10**9),
    "chunk_size": (1, 2**32 - 1),
    "workers": (0, 1_024),
}


@dataclass(frozen=True)
class RunSettings:
    """An embedded run: one process with every trainer, validator and ledger of a chain.

    ``training`` holds overrides of the task's own ``TrainSettings``; ``attacks`` are texts of the
    form ``NAME:key=value@FRACTION``; ``data_directory`` is where data sets are looked for.
    """

    task: str = "digits"
    trainers: int = 6
    validators: int = 4
    rounds: int = 10
    seed: int = 0
    params: ChainParams = field(default_factory=ChainParams)
    sharding: str = "iid"
    training: dict[str, Any] = field(default_factory=dict)
    attacks: tuple[str, ...] = ()
    clock: Clock = "virtual"
    device: str = "cpu"
    data_directory: Path | None = None
    chunk_size: int = 131_072
    workers: int = 0
    preset: str = "default"


def validate_settings(settings: RunSettings) -> None:
    """Check what can be checked without loading anything. **Raises** UsageError."""
    for name, (least, most) in _RANGES.items():
        value = getattr(settings, name)
        if not isinstance(value, int) or not least <= value <= most:
            raise UsageError(f"{name} must be a whole number from {least} to {most}, not {value!r}.")
    if not 0 <= settings.seed < 2**63:
        raise UsageError(f"The seed must be between 0 and 2^63 - 1, not {settings.seed}.")
    if settings.clock not in ("virtual", "wall"):
        raise UsageError(f"The clock must be 'virtual' or 'wall', not {settings.clock!r}.")


def build_train_settings(defaults: TrainSettings, overrides: dict[str, Any]) -> TrainSettings:
    """Return the task's settings with a person's overrides. **Raises** UsageError on an unknown name."""
    known = {item.name for item in dataclasses.fields(TrainSettings)}
    unknown = sorted(set(overrides) - known)
    if unknown:
        raise UsageError(f"There is no training setting {unknown[0]!r}; choose among {', '.join(sorted(known))}.")
    merged = dict(overrides)
    if "steps" in merged and "epochs" not in merged:
        merged["epochs"] = None
    if "epochs" in merged and "steps" not in merged:
        merged["steps"] = None
    try:
        return dataclasses.replace(defaults, **merged)
    except TypeError as error:
        raise UsageError(f"A training setting is of another kind than it should be: {error}.") from error


def encode_train_settings(settings: TrainSettings) -> str:
    """Return the settings as the text that stands in genesis."""
    return json.dumps(dataclasses.asdict(settings), sort_keys=True, separators=(",", ":"))


def describe_fault_tolerance(validators: int) -> str | None:
    """Return the sentence to warn with when no validator may fail, else None (CHAIN-5)."""
    tolerated = get_fault_tolerance(validators)
    if tolerated:
        return None
    subject = "1 validator tolerates" if validators == 1 else f"{validators} validators tolerate"
    return f"{subject} 0 faulty ones: if one stops or lies, the chain stops too; use at least 4 to tolerate 1."
