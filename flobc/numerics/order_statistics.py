"""Weighted median and trimmed mean of each coordinate, by bisection instead of sorting.

The value with cumulative weight at least T is found by halving an interval of integers: each pass
adds up the weights of the updates at or below the middle. Passes are plain loops over neighbouring
coordinates, which compilers turn into vector code; a sort of 64 numbers with weights is not.
At most 31 passes, usually about 20, because the interval starts at the values' own range.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from flobc.numerics.aggregate import add_step
from flobc.numerics.fixed_point import Grid, Segment
from flobc.numerics.kernels import Int32s, Int64s, checked, kernel, read_only, row_at
from flobc.numerics.parallel import for_each_range
from flobc.numerics.rows import DISCOUNT_ONE, UpdateRows
from flobc.numerics.sorting import MAX_NETWORK_ROWS, exchange, sorting_network

# Coordinates treated together: 64 updates of them (16 KiB) fit the first-level cache.
_LANES = 64
# Coordinates read at a time: pieces of 2 KiB a row keep the memory's read-ahead going.
_BLOCK = 8 * _LANES
# Updates added up together; rows of weight zero fill the last group.
_GROUP = 4
_HALF = 1 << 19


def median_of_rows(model: Int32s, rows: UpdateRows, grid: Grid) -> Int32s:
    """``model`` plus the weighted lower median of each coordinate, times the rows' mass (AGG-21)."""
    count, mass = len(rows.weights), rows.mass
    if _suits_network(rows):
        middle = (count - 1) // 2
        return _add_ranks_to(model, rows, grid, (middle, middle, 0))
    scales = (_padded_weights(rows), rows.discounts, mass)

    def add(piece: Segment, read_model: Int32s, out: Int32s) -> None:
        _add_median(rows.addresses, scales, read_model, (piece.lo, piece.hi), out, (piece.start, piece.stop))

    return _coordinate_wise(model, grid, add)


def trimmed_mean_of_rows(model: Int32s, rows: UpdateRows, grid: Grid, trim_ppm: int) -> Int32s:
    """``model`` plus the weighted trimmed mean of each coordinate, times the rows' mass (AGG-22).

    **Units**: trim_ppm, the share of the mass cut at either end, in millionths, below 500,000.
    """
    count, mass = len(rows.weights), rows.mass
    cut = mass * trim_ppm // 1_000_000
    if _suits_network(rows):
        whole, part = divmod(cut, int(rows.weights[0]))
        return _add_ranks_to(model, rows, grid, (whole, count - 1 - whole, part))
    scales = (_padded_weights(rows), rows.discounts, mass, cut)

    def add(piece: Segment, read_model: Int32s, out: Int32s) -> None:
        _add_trimmed_mean(
            rows.addresses, scales, read_model, (piece.lo, piece.hi), out, (piece.start, piece.stop)
        )

    return _coordinate_wise(model, grid, add)


def _suits_network(rows: UpdateRows) -> bool:
    return len(rows.weights) <= MAX_NETWORK_ROWS and bool((rows.weights == rows.weights[0]).all())


def _add_ranks_to(model: Int32s, rows: UpdateRows, grid: Grid, ranks: tuple[int, int, int]) -> Int32s:
    """Add the mean of the ranks from first to last, ``part`` of a weight cut off either of these two."""
    first, last, part = ranks
    pairs = read_only(sorting_network(len(rows.weights), first, last))
    scales = (rows.discounts, int(rows.weights[0]), rows.mass)

    def add(piece: Segment, read_model: Int32s, out: Int32s) -> None:
        reach = (piece.start, piece.stop)
        _add_ranks(
            rows.addresses, scales, (pairs, first, last, part), read_model, (piece.lo, piece.hi), out, reach
        )

    return _coordinate_wise(model, grid, add)


def _padded_weights(rows: UpdateRows) -> Int32s:
    return np.concatenate([rows.weights, np.zeros(-len(rows.weights) % _GROUP, np.int32)])


def _coordinate_wise(model: Int32s, grid: Grid, add: Callable[[Segment, Int32s, Int32s], None]) -> Int32s:
    read_model = checked(model, np.int32, grid.size, "model")
    result = np.empty(grid.size, np.int32)

    def add_range(start: int, stop: int) -> None:
        for piece in grid.pieces(start, stop):
            add(piece, read_model, result)

    for_each_range(grid.size, add_range)
    return result


@kernel
def _gather(addresses: Int64s, discounts: Int32s, start: int, count: int, blocks: Int32s) -> None:
    """Copy ``count`` discounted coordinates of each row into ``blocks`` (int32[count / lanes, n, lanes])."""
    for i in range(len(addresses)):
        row = row_at(addresses[i], start, count)
        discount = np.int64(discounts[i])
        for first in range(0, count, _LANES):
            into = blocks[first // _LANES, i]
            width = min(_LANES, count - first)
            if discount == DISCOUNT_ONE:
                for j in range(width):
                    into[j] = row[first + j]
            else:
                for j in range(width):
                    into[j] = np.int32((np.int64(row[first + j]) * discount + 32768) >> 16)


@kernel
def _values_at(
    addresses: Int64s, discounts: Int32s, start: int, reach: tuple[int, int], blocks: Int32s
) -> Int32s:
    """The values (int32[n, lanes]) of the coordinates from ``start``, read ahead a block at a time."""
    offset = (start - reach[0]) % _BLOCK
    if offset == 0:
        _gather(addresses, discounts, start, min(_BLOCK, reach[1] - start), blocks)
    return blocks[offset // _LANES]


@kernel
def _find_range(values: Int32s, lowest: Int32s, highest: Int32s) -> None:
    for j in range(_LANES):
        lowest[j] = 0
        highest[j] = 0
    for i in range(len(values)):
        row = values[i]
        for j in range(_LANES):
            lowest[j] = min(lowest[j], row[j])
            highest[j] = max(highest[j], row[j])


@kernel
def _select(
    values: Int32s,
    weights: Int32s,
    threshold: int,
    lowest: Int32s,
    highest: Int32s,
    middle: Int32s,
    mass: Int32s,
) -> None:
    """Leave in ``lowest`` the least v such that the values <= v weigh at least ``threshold`` > 0.

    Sums stay within int32 because weights sum to at most 2^20, middles because |values| < 2^30.
    """
    wanted = np.int32(threshold)
    widest = 1
    while widest > 0:
        for j in range(_LANES):
            middle[j] = (lowest[j] + highest[j]) >> 1
            mass[j] = 0
        for i in range(0, len(weights), _GROUP):
            a, b, c, d = values[i], values[i + 1], values[i + 2], values[i + 3]
            wa, wb, wc, wd = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
            none = np.int32(0)
            for j in range(_LANES):
                m = middle[j]
                mass[j] += (
                    (wa if a[j] <= m else none)
                    + (wb if b[j] <= m else none)
                    + (wc if c[j] <= m else none)
                    + (wd if d[j] <= m else none)
                )
        widest = 0
        for j in range(_LANES):
            if mass[j] >= wanted:
                highest[j] = middle[j]
            else:
                lowest[j] = middle[j] + 1
            widest = max(widest, highest[j] - lowest[j])


@kernel
def _add_median(
    addresses: Int64s,
    scales: tuple[Int32s, Int32s, int],
    model: Int32s,
    bounds: tuple[int, int],
    out: Int32s,
    reach: tuple[int, int],
) -> None:
    weights, discounts, mass = scales
    blocks = np.zeros((_BLOCK // _LANES, len(weights), _LANES), np.int32)
    work = np.zeros((4, _LANES), np.int32)
    lowest, highest, middle, sums = work[0], work[1], work[2], work[3]
    for start in range(reach[0], reach[1], _LANES):
        values = _values_at(addresses, discounts, start, reach, blocks)
        count = min(_LANES, reach[1] - start)
        _find_range(values, lowest, highest)
        _select(values, weights, (mass + 1) // 2, lowest, highest, middle, sums)
        for j in range(count):
            step = (np.int64(lowest[j]) * mass + _HALF) >> 20
            out[start + j] = add_step(model[start + j], step, bounds[0], bounds[1])


@kernel
def _add_trimmed_mean(
    addresses: Int64s,
    scales: tuple[Int32s, Int32s, int, int],
    model: Int32s,
    bounds: tuple[int, int],
    out: Int32s,
    reach: tuple[int, int],
) -> None:
    """Clip every value to [bottom, top], the values where the cuts fall, and take the cuts off the sum.

    The mass cut at the lower end lies at or below ``bottom``, so clipped it counts ``cut * bottom``;
    likewise above. No sorting, and equal values need no tie-break.
    """
    weights, discounts, mass, cut = scales
    kept = mass - 2 * cut
    blocks = np.zeros((_BLOCK // _LANES, len(weights), _LANES), np.int32)
    work = np.zeros((5, _LANES), np.int32)
    bottom, top, highest, middle, sums = work[0], work[1], work[2], work[3], work[4]
    totals = np.zeros(_LANES, np.int64)
    for start in range(reach[0], reach[1], _LANES):
        values = _values_at(addresses, discounts, start, reach, blocks)
        count = min(_LANES, reach[1] - start)
        _find_range(values, bottom, highest)
        for j in range(_LANES):
            top[j] = highest[j]
        _select(values, weights, cut + 1, bottom, top, middle, sums)
        # The upper value is not below the lower one: the search goes on from there.
        for j in range(_LANES):
            top[j] = bottom[j]
        _select(values, weights, mass - cut, top, highest, middle, sums)
        for j in range(_LANES):
            totals[j] = -cut * (np.int64(bottom[j]) + np.int64(top[j]))
        for i in range(len(addresses)):
            row, weight = values[i], np.int64(weights[i])
            for j in range(_LANES):
                totals[j] += weight * np.int64(min(max(row[j], bottom[j]), top[j]))
        for j in range(count):
            mean = (2 * totals[j] + kept) // (2 * kept)
            step = (mean * mass + _HALF) >> 20
            out[start + j] = add_step(model[start + j], step, bounds[0], bounds[1])


@kernel
def _add_ranks(
    addresses: Int64s,
    scales: tuple[Int32s, int, int],
    ranks: tuple[Int32s, int, int, int],
    model: Int32s,
    bounds: tuple[int, int],
    out: Int32s,
    reach: tuple[int, int],
) -> None:
    discounts, weight, mass = scales
    pairs, first, last, part = ranks
    kept = weight * (last - first + 1) - 2 * part
    blocks = np.zeros((_BLOCK // _LANES, len(addresses), _LANES), np.int32)
    totals = np.zeros(_LANES, np.int64)
    for start in range(reach[0], reach[1], _LANES):
        values = _values_at(addresses, discounts, start, reach, blocks)
        count = min(_LANES, reach[1] - start)
        exchange(values, pairs, _LANES)
        low, high = values[first], values[last]
        for j in range(_LANES):
            totals[j] = -part * (np.int64(low[j]) + np.int64(high[j]))
        for i in range(first, last + 1):
            row = values[i]
            for j in range(_LANES):
                totals[j] += weight * np.int64(row[j])
        for j in range(count):
            mean = np.int64(low[j]) if first == last else (2 * totals[j] + kept) // (2 * kept)
            out[start + j] = add_step(model[start + j], (mean * mass + _HALF) >> 20, bounds[0], bounds[1])
