"""Which updates pull together: those along whose own direction the others move too (AGG-30).

Honest updates differ from their mean each in its own way, and in thousands of coordinates such differences are nearly
at right angles. Attackers must differ in one common way, or their sum comes to nothing. Inner products show it.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from flobc.numerics.centers import Gram

NEAR = Fraction(3, 4)
"""Of the greatest coherence; far attackers pull the mean so far that honest differences from it are alike as well."""
MINIMUM_KEPT = 5
"""Among fewer updates each is a good part of the mean, so all differences from it are coherent."""
LIMIT = Fraction(1, 5)
"""Honest updates reach 0.15, three attackers of ten that hide as far out as honest ones 0.26 (docs/adr/0015)."""


def find_incoherent(products: Gram, weights: Sequence[int], keys: Sequence[bytes]) -> list[int]:
    """Return the rows that are left, ascending, when those above ``LIMIT`` have been dropped.

    The most coherent and those ``NEAR`` it first, of equal ones the least key, and never so many that half of the
    weight is gone. What is left is looked at again. **Source**: the filter of Diakonikolas and others, ICML 2017
    (arXiv 1703.00893), and DnC, Shejwalkar and Houmansadr, NDSS 2021, with each update's own direction in place of
    the principal one.
    """
    kept, mass = list(range(len(weights))), sum(weights)
    while len(kept) >= MINIMUM_KEPT:
        found = _measure_coherence(products[np.ix_(kept, kept)], [weights[row] for row in kept])
        ranked = sorted(zip(found, kept, strict=True), key=lambda item: (-item[0], keys[item[1]], item[1]))
        dropped, left = set(), sum(weights[row] for row in kept)
        bound = max(LIMIT, NEAR * max(found))
        for coherence, row in ranked:
            if coherence > bound and 2 * (left - weights[row]) > mass:
                dropped.add(row)
                left -= weights[row]
        if not dropped:
            break
        kept = [row for row in kept if row not in dropped]
    return kept


def _measure_coherence(products: Gram, weights: Sequence[int]) -> list[Fraction]:
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
