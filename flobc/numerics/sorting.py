"""Ranks of each coordinate by a sorting network: the fast way where all weights are equal (AGG-21, AGG-22).

A network compares fixed pairs, so one comparison serves a whole vector of neighbouring coordinates
and no branch depends on data. Source: Batcher's merge exchange (Knuth, TAOCP 3, algorithm 5.2.2M).
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from flobc.numerics.kernels import Int32s, kernel

MAX_NETWORK_ROWS = 256
"""From about here on the n log^2 n comparisons of a network cost more than bisection does."""


@lru_cache(maxsize=64)
def sorting_network(count: int, first: int, last: int) -> Int32s:
    """Pairs (int32[c, 2]) that put ranks ``first`` to ``last`` of ``count`` values in their places.

    The other ranks are left unsorted: comparisons that no wanted rank depends on are dropped.
    """
    needed = set(range(first, last + 1))
    kept: list[tuple[int, int]] = []
    for low, high in reversed(_merge_exchange(count)):
        if low in needed or high in needed:
            needed |= {low, high}
            kept.append((low, high))
    pairs = np.array(kept[::-1], dtype=np.int32).reshape(-1, 2)
    pairs.setflags(write=False)
    return pairs


def _merge_exchange(count: int) -> list[tuple[int, int]]:
    pairs: list[tuple[int, int]] = []
    largest = 1 << max((count - 1).bit_length() - 1, 0)
    width = largest
    while width > 0:
        span, offset, distance = largest, 0, width
        while True:
            pairs += [(i, i + distance) for i in range(count - distance) if i & width == offset]
            if span == width:
                break
            distance, span, offset = span - width, span >> 1, width
        width >>= 1
    return pairs


@kernel
def exchange(values: Int32s, pairs: Int32s, lanes: int) -> None:
    """Run the network ``pairs`` over the rows of ``values`` (int32[n, lanes]), all lanes alike."""
    for p in range(len(pairs)):
        low, high = values[pairs[p, 0]], values[pairs[p, 1]]
        for j in range(lanes):
            a, b = low[j], high[j]
            low[j] = min(a, b)
            high[j] = max(a, b)
