"""Which updates pull together: those along whose own direction the others move too (AGG-30).

Honest updates differ from their mean each in its own way, and in thousands of coordinates such differences are nearly
at right angles. Attackers must differ in one common way, or their sum comes to nothing. Inner products show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from flobc.numerics.distances import UNIT_ROUNDOFF, Gram, InnerProducts

Rounded: TypeAlias = npt.NDArray[np.float64]

NEAR = Fraction(3, 4)
"""Of the greatest coherence; far attackers pull the mean so far that honest differences from it are alike as well."""
MINIMUM_KEPT = 5
"""Among fewer updates each is a good part of the mean, so all differences from it are coherent."""
LIMIT = Fraction(1, 5)
"""Honest updates reach 0.15, three attackers of ten that hide as far out as honest ones 0.26 (docs/adr/0015)."""


def find_incoherent(products: InnerProducts, weights: Sequence[int], keys: Sequence[bytes]) -> list[int]:
    """Return the rows that are left, ascending, when those above ``LIMIT`` have been dropped.

    The most coherent and those ``NEAR`` it first, of equal ones the least key, and never so many that half of the
    weight is gone. What is left is looked at again. **Source**: the filter of Diakonikolas and others, ICML 2017
    (arXiv 1703.00893), and DnC, Shejwalkar and Houmansadr, NDSS 2021, with each update's own direction in place of
    the principal one.

    Float64 decides wherever it is sure to decide as integers of any length would, which then need not be computed.
    """
    kept, mass = list(range(len(weights))), sum(weights)
    rounded, error = products.get_rounded()
    exact: Gram | None = None
    while len(kept) >= MINIMUM_KEPT:
        left = [weights[row] for row in kept]
        some = rounded if len(kept) == len(weights) else rounded[np.ix_(kept, kept)]
        dropped = _find_surely(some, error, left, mass)
        if dropped is None:
            exact = products.get_exact() if exact is None else exact
            found = _measure_exactly(exact[np.ix_(kept, kept)], left)
            dropped = _choose(found, left, [keys[row] for row in kept], mass)
        if not dropped:
            break
        kept = [row for place, row in enumerate(kept) if place not in dropped]
    return kept


def _choose(found: Sequence[Fraction], weights: Sequence[int], keys: Sequence[bytes], mass: int) -> set[int]:
    ranked = sorted(range(len(found)), key=lambda place: (-found[place], keys[place], place))
    bound = max(LIMIT, NEAR * max(found))
    dropped, left = set(), sum(weights)
    for place in ranked:
        if found[place] > bound and 2 * (left - weights[place]) > mass:
            dropped.add(place)
            left -= weights[place]
    return dropped


def _measure_exactly(products: Gram, weights: Sequence[int]) -> list[Fraction]:
    """For each update the share of all variance that the others have along its difference from the weighted mean."""
    vector, total = np.array(weights, dtype=object), sum(weights)
    towards = products @ vector
    mean = int(vector @ towards)
    centered = total * total * products - total * (towards[:, None] + towards[None, :]) + mean
    lengths = centered.diagonal()
    variance = int(vector @ lengths)
    shared = (centered * centered) @ vector - vector * lengths * lengths
    return [
        Fraction(int(part), int(length) * variance) if length > 0 else Fraction(0)
        for part, length in zip(shared, lengths, strict=True)
    ]


def _find_surely(products: Rounded, error: float, weights: Sequence[int], mass: int) -> set[int] | None:
    """Return what ``_choose`` drops, or None where ``_measure_roughly`` leaves it open."""
    measured = _measure_roughly(products, error, np.array(weights, np.float64) / sum(weights))
    if measured is None:
        return None
    found, doubt = measured
    bound = max(float(LIMIT), float(NEAR) * float(found.max()))
    if np.abs(found - bound).min() <= 4 * doubt:
        return None
    dropped = set(np.flatnonzero(found > bound).tolist())
    # Where all of them may go their order does not matter; else keys may decide among equal ones.
    return dropped if 2 * (sum(weights) - sum(weights[place] for place in dropped)) > mass else None


def _measure_roughly(products: Rounded, error: float, weights: Rounded) -> tuple[Rounded, float] | None:
    """Return the same in float64, and how far off it is at most; None where some update is too near the mean.

    ``weights`` sum to 1. With products off by up to ``error``, the greatest of them P and u = 2^-53, a sum of n terms
    is off by n u of their magnitudes, so a centered product by e = 4 error + (4 n + 64) u P. A squared one is summed
    with weights to at most L V (L the length squared of an update's difference, V the variance; Cauchy and Schwarz),
    and so its share of L V is off by at most 2 e / sqrt(L V) + e / L + e / V + (n + 16) u, to the first order; V is no
    less than the least L, and twice as much is given.
    """
    count = len(weights)
    towards = products @ weights
    centered = products - towards[:, None]
    centered -= towards[None, :]
    centered += weights @ towards
    lengths = centered.diagonal().copy()
    off = 4 * error + (4 * count + 64) * UNIT_ROUNDOFF * (float(np.abs(products).max()) + error)
    least = float(lengths.min())
    if not least > off * 2**20:
        return None
    variance = weights @ lengths
    np.square(centered, out=centered)
    shared = centered @ weights - weights * lengths * lengths
    return shared / (lengths * variance), 8 * off / least + (4 * count + 64) * UNIT_ROUNDOFF
