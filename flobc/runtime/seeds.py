"""Everything random of a run comes from its one seed, by labels instead of order."""

from __future__ import annotations

import hashlib


def derive_bits(seed: int, *labels: object) -> int:
    """Return 64 bits that depend on ``seed`` and the labels, and on nothing else."""
    text = "/".join([str(seed), *map(str, labels)]).encode()
    return int.from_bytes(hashlib.sha256(text).digest()[:8], "big")


def derive_seed(seed: int, *labels: object) -> int:
    """Return a 63-bit seed for a part of the run."""
    return derive_bits(seed, *labels) >> 1
