"""The exact weighted mean, the rule that every other one falls back to (AGG-20)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from flobc.numerics.fixed_point import Grid
from flobc.numerics.kernels import Int32s, Int64s, checked, kernel, row_at
from flobc.numerics.parallel import for_each_range
from flobc.numerics.rows import DISCOUNT_ONE, WEIGHT_ONE, Target, UpdateRows, Updates, tabulate

__all__ = ["DISCOUNT_ONE", "WEIGHT_ONE", "add_by_segment", "add_step", "apply_weighted_mean", "mean_of_rows"]

# Coordinates summed at a time: 32 KiB of accumulators stay in the first-level cache.
_TILE = 4096
_HALF = 1 << 19


def apply_weighted_mean(
    model: Int32s, updates: Updates, weights: Sequence[int], discounts: Sequence[int], grid: Grid
) -> Int32s:
    """``model`` plus the weighted mean of ``updates`` (AGG-20).

    **Units**: weights in 2^-20 with sum at most 2^20, discounts in 2^-16.
    **Shapes**: model int32[D]; updates n x int32[D], |q| < 2^30; result int32[D], newly made.

    Raises:
        LocalProtocolError: an array, a weight or a discount is not what it should be.
    """
    return mean_of_rows(model, tabulate(updates, weights, discounts, grid.size), grid)


def mean_of_rows(model: Int32s, rows: UpdateRows, grid: Grid) -> Int32s:
    """As ``apply_weighted_mean``, for updates that are tabulated already."""
    scales = (rows.weights, rows.discounts, rows.undiscounted)
    return add_by_segment(model, grid, lambda target: _add_weighted_mean(rows.addresses, scales, target))


def add_by_segment(model: Int32s, grid: Grid, add: Callable[[Target], None]) -> Int32s:
    """A new model (int32[D]) that ``add`` writes piece by piece, several pieces at a time."""
    read_model = checked(model, np.int32, grid.size, "model")
    result = np.empty(grid.size, np.int32)

    def add_range(start: int, stop: int) -> None:
        for piece in grid.pieces(start, stop):
            add(Target(read_model, result, piece.start, piece.stop, piece.lo, piece.hi))

    for_each_range(grid.size, add_range)
    return result


@kernel
def add_step(target: Target, at: int, step: np.int64) -> None:
    """Write the model's coordinate after ``step``: a sum that saturates, clamped to its segment."""
    value = np.int64(target.model[at]) + step
    target.out[at] = np.int32(min(max(value, np.int64(target.lo)), np.int64(target.hi)))


@kernel
def _add_weighted_mean(addresses: Int64s, scales: tuple[Int32s, Int32s, int], target: Target) -> None:
    """Exact in any order: |weight * q| < 2^50 and the weights sum to 2^20, so int64 never overflows.

    Four rows at a time, because loading and storing the accumulator would cost more than the
    products. Weights stay int32 up to the product: int32 x int32 is one instruction, int64 is not.
    """
    weights, discounts, undiscounted = scales
    accumulator = np.empty(_TILE, np.int64)
    for start in range(target.start, target.stop, _TILE):
        count = min(_TILE, target.stop - start)
        for j in range(count):
            accumulator[j] = _HALF
        i = 0
        while i + 4 <= undiscounted:
            a = row_at(addresses[i], start, count)
            b = row_at(addresses[i + 1], start, count)
            c = row_at(addresses[i + 2], start, count)
            d = row_at(addresses[i + 3], start, count)
            wa, wb = np.int64(weights[i]), np.int64(weights[i + 1])
            wc, wd = np.int64(weights[i + 2]), np.int64(weights[i + 3])
            for j in range(count):
                accumulator[j] += wa * np.int64(a[j]) + wb * np.int64(b[j]) + wc * np.int64(c[j]) + wd * np.int64(d[j])
            i += 4
        while i < len(addresses):
            row = row_at(addresses[i], start, count)
            weight = np.int64(weights[i])
            if i < undiscounted:
                for j in range(count):
                    accumulator[j] += weight * np.int64(row[j])
            else:
                discount = np.int64(discounts[i])
                for j in range(count):
                    accumulator[j] += weight * ((np.int64(row[j]) * discount + 32768) >> 16)
            i += 1
        for j in range(count):
            add_step(target, start + j, accumulator[j] >> 20)
