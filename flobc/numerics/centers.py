"""Centers that lie between the updates, as shares of them: geometric median and centered clipping (AGG-27, AGG-28).

Both rules only ever form weighted sums of the updates, so a center is a vector of n integers, and every distance to it
follows from the inner products of the updates: D numbers are read once before and once after, whatever the number of
steps, and all of it is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt

import numpy as np

from flobc.numerics.distances import Gram
from flobc.numerics.rows import WEIGHT_ONE

MEDIAN_STEPS = 8
CLIPPING_STEPS = 3
_FULL = 1 << 16


def find_geometric_median(products: Gram, weights: Sequence[int]) -> list[int]:
    """Shares (2^-20) of the updates in the point that ``MEDIAN_STEPS`` Weiszfeld steps find (AGG-27).

    Each step weights an update by its weight over its distance from the point before; a distance below one grid
    unit counts as one. **Source**: Pillutla, Kakade and Harchaoui, arXiv 1912.13445, algorithm 2 (smoothed Weiszfeld).
    """
    shares = _normalise(weights)
    for _ in range(MEDIAN_STEPS):
        total = sum(shares)
        distances = [max(total, distance) for distance in _measure(products, shares, total)]
        farthest = max(distances)
        pulls = [weight * farthest * WEIGHT_ONE // near for weight, near in zip(weights, distances, strict=True)]
        shares = _normalise(pulls)
    return shares


def clip_to_center(products: Gram, weights: Sequence[int]) -> list[int]:
    """Shares (2^-20) of the updates in the point that ``CLIPPING_STEPS`` rounds of centered clipping find (AGG-28).

    From the model itself on, the point moves by the weighted mean of its differences to the updates, each clipped to
    the lower median of their lengths. **Source**: Karimireddy, He and Jaggi, ICML 2021 (arXiv 2012.10333), equation 6,
    where the radius is given.
    """
    shares = [0] * len(weights)
    mass = sum(weights) * _FULL
    for _ in range(CLIPPING_STEPS):
        distances = _measure(products, shares, WEIGHT_ONE)
        radius = sorted(distances)[(len(distances) - 1) // 2]
        moves = [
            weight * (_FULL if distance <= radius else radius * _FULL // distance)
            for weight, distance in zip(weights, distances, strict=True)
        ]
        kept = mass - sum(moves)
        shares = [(share * kept + WEIGHT_ONE * move) // mass for share, move in zip(shares, moves, strict=True)]
    return shares


def _normalise(weights: Sequence[int]) -> list[int]:
    total = sum(weights)
    return [weight * WEIGHT_ONE // total for weight in weights]


def _measure(products: Gram, shares: Sequence[int], total: int) -> list[int]:
    """How far each update is from the sum of ``shares`` of them over ``total``, in units of 1/``total``."""
    vector = np.array(shares, dtype=object)
    inner = products @ vector
    length = int(vector @ inner)
    return [isqrt(total * total * int(products[i, i]) - 2 * total * int(inner[i]) + length) for i in range(len(shares))]
