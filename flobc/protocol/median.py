"""The one median of the protocol: an integer that is among the values it is taken of."""

from __future__ import annotations

from collections.abc import Sequence


def compute_lower_median(values: Sequence[int]) -> int:
    """Return the median of at least one value; of an even count the lower one of the two (ROUND-10, TRUST-14)."""
    return sorted(values)[(len(values) - 1) // 2]
