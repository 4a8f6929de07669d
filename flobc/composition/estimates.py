"""Means with their confidence: what repeats of one measurement say together."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
_QUANTILES = (
    *(12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228),
    *(2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086),
)
"""Student's t for 95 %, by degrees of freedom from 1; **Source**: Student 1908."""
_NORMAL = 1.959964


@dataclass(frozen=True)
class Estimate:
    """A mean and half the width of its 95 % confidence interval, None for a single value."""

    mean: float
    half: float | None

    def __str__(self) -> str:
        return f"{self.mean:.3g}" if self.half is None else f"{self.mean:.3g} ± {self.half:.2g}"


def estimate_mean(values: Sequence[float]) -> Estimate:
    """Estimate the mean of independent, near normal values."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return Estimate(mean, None)
    return Estimate(mean, get_quantile(len(values) - 1) * statistics.stdev(values) / math.sqrt(len(values)))


def get_quantile(freedom: int) -> float:
    """Return Student's t for 95 %; beyond the table by its expansion about the normal one.

    **Source**: Abramowitz and Stegun 1964, 26.7.5.
    """
    if freedom <= len(_QUANTILES):
        return _QUANTILES[freedom - 1]
    z = _NORMAL
    return z + (z**3 + z) / (4 * freedom) + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * freedom**2)
