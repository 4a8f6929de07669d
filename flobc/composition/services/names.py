"""What members are called in labels: few names for any number of members, so that no label grows with a chain."""

from __future__ import annotations

from collections.abc import Sequence

MAX_VALIDATORS = 64
MAX_TRAINERS = 32
"""Each trainer has a handful of series at every validator and ledger; quantiles tell of the others."""
OTHER = "other"
_DIGITS = 8


def build_validator_names(keys: Sequence[bytes]) -> dict[bytes, str]:
    """Return each validator's place in the genesis as its name; those beyond the first ``MAX_VALIDATORS`` share one."""
    return {key: str(place) if place < MAX_VALIDATORS else OTHER for place, key in enumerate(keys)}


class TrainerNames:
    """Names for the first ``MAX_TRAINERS`` trainers that are asked for: the beginning of their key; others share one.

    A newcomer moves nobody's name, as it would if they were counted.
    """

    def __init__(self) -> None:
        self._names: dict[bytes, str] = {}

    def get(self, key: bytes) -> str:
        """Return a trainer's name."""
        found = self._names.get(key)
        if found is None:
            if len(self._names) >= MAX_TRAINERS:
                return OTHER
            found = self._names[key] = key.hex()[:_DIGITS]
        return found
