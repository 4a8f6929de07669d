"""Weighted median and trimmed mean of each coordinate, without sorting weights along with values.

Where all weights are equal a sorting network finds the ranks. Elsewhere the value with cumulative
weight at least T is found by halving an interval of integers: each pass adds up the weights of the
updates at or below the middle. Both are plain loops over neighbouring coordinates, which compilers
turn into vector code. Bisection takes at most 31 passes, usually fewer than 20, because the
interval starts at the values' own range.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from flobc.numerics.aggregate import add_by_segment, add_step
from flobc.numerics.fixed_point import Grid
from flobc.numerics.kernels import Int32s, Int64s, kernel, read_only, row_at
from flobc.numerics.rows import DISCOUNT_ONE, Target, UpdateRows
from flobc.numerics.sorting import MAX_NETWORK_ROWS, exchange, sorting_network

# Coordinates treated together: 64 updates of them (16 KiB) fit the first-level cache.
_LANES = 64
# Coordinates read at a time: pieces of 2 KiB a row keep the memory's read-ahead going.
_BLOCK = 8 * _LANES
# Updates added up together; rows of weight zero fill the last group.
_GROUP = 4
_HALF = 1 << 19


class _Ranks(NamedTuple):
    """Which ranks to average, ``part`` of a weight cut off the first and the last."""

    pairs: Int32s
    first: int
    last: int
    part: int


class _Search(NamedTuple):
    """A bisection of ``_LANES`` coordinates at once; the answers end up in ``lowest``."""

    lowest: Int32s
    highest: Int32s
    middle: Int32s
    mass: Int32s


def median_of_rows(model: Int32s, rows: UpdateRows, grid: Grid) -> Int32s:
    """``model`` plus the weighted lower median of each coordinate, times the rows' mass (AGG-21)."""
    if _suits_network(rows):
        middle = (len(rows.weights) - 1) // 2
        return _add_ranks_of(model, rows, grid, (middle, middle, 0))
    scales = (_padded_weights(rows), rows.discounts, rows.mass)
    return add_by_segment(model, grid, lambda target: _add_median(rows.addresses, scales, target))


def trimmed_mean_of_rows(model: Int32s, rows: UpdateRows, grid: Grid, trim_ppm: int) -> Int32s:
    """``model`` plus the weighted trimmed mean of each coordinate, times the rows' mass (AGG-22).

    **Units**: trim_ppm, the share of the mass cut at either end, in millionths, below 500,000.
    """
    cut = rows.mass * trim_ppm // 1_000_000
    if _suits_network(rows):
        whole, part = divmod(cut, int(rows.weights[0]))
        return _add_ranks_of(model, rows, grid, (whole, len(rows.weights) - 1 - whole, part))
    scales = (_padded_weights(rows), rows.discounts, rows.mass)
    return add_by_segment(model, grid, lambda target: _add_trimmed_mean(rows.addresses, scales, cut, target))


def _suits_network(rows: UpdateRows) -> bool:
    return len(rows.weights) <= MAX_NETWORK_ROWS and bool((rows.weights == rows.weights[0]).all())


def _padded_weights(rows: UpdateRows) -> Int32s:
    return np.concatenate([rows.weights, np.zeros(-len(rows.weights) % _GROUP, np.int32)])


def _add_ranks_of(model: Int32s, rows: UpdateRows, grid: Grid, ends: tuple[int, int, int]) -> Int32s:
    first, last, part = ends
    ranks = _Ranks(read_only(sorting_network(len(rows.weights), first, last)), first, last, part)
    scales = (rows.discounts, int(rows.weights[0]), rows.mass)
    return add_by_segment(model, grid, lambda target: _add_ranks(rows.addresses, scales, ranks, target))


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
def _values_at(addresses: Int64s, discounts: Int32s, start: int, target: Target, blocks: Int32s) -> Int32s:
    """The values (int32[n, lanes]) of the coordinates from ``start``, read ahead a block at a time.

    The last block's unused lanes hold old values; what they lead to is never written.
    """
    offset = (start - target.start) % _BLOCK
    if offset == 0:
        _gather(addresses, discounts, start, min(_BLOCK, target.stop - start), blocks)
    block: Int32s = blocks[offset // _LANES]
    return block


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
def _select(values: Int32s, weights: Int32s, threshold: int, search: _Search) -> None:
    """Find the least v in [lowest, highest] such that the values <= v weigh at least ``threshold`` > 0.

    Sums stay within int32 because weights sum to at most 2^20, middles because |values| < 2^30.
    """
    lowest, highest, middle, mass = search
    wanted = np.int32(threshold)
    none = np.int32(0)
    widest = 1
    while widest > 0:
        for j in range(_LANES):
            middle[j] = (lowest[j] + highest[j]) >> 1
            mass[j] = 0
        for i in range(0, len(weights), _GROUP):
            a, b, c, d = values[i], values[i + 1], values[i + 2], values[i + 3]
            wa, wb, wc, wd = weights[i], weights[i + 1], weights[i + 2], weights[i + 3]
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
def _add_median(addresses: Int64s, scales: tuple[Int32s, Int32s, int], target: Target) -> None:
    weights, discounts, mass = scales
    blocks = np.zeros((_BLOCK // _LANES, len(weights), _LANES), np.int32)
    work = np.zeros((4, _LANES), np.int32)
    search = _Search(work[0], work[1], work[2], work[3])
    for start in range(target.start, target.stop, _LANES):
        values = _values_at(addresses, discounts, start, target, blocks)
        _find_range(values, search.lowest, search.highest)
        _select(values, weights, (mass + 1) // 2, search)
        for j in range(min(_LANES, target.stop - start)):
            add_step(target, start + j, (np.int64(search.lowest[j]) * mass + _HALF) >> 20)


@kernel
def _add_trimmed_mean(addresses: Int64s, scales: tuple[Int32s, Int32s, int], cut: int, target: Target) -> None:
    """Clip every value to [bottom, top], the values where the cuts fall, and take the cuts off the sum.

    The mass cut at the lower end lies at or below ``bottom``, so clipped it counts ``cut * bottom``;
    likewise above. No sorting, and equal values need no tie-break.
    """
    weights, discounts, mass = scales
    kept = mass - 2 * cut
    blocks = np.zeros((_BLOCK // _LANES, len(weights), _LANES), np.int32)
    work = np.zeros((6, _LANES), np.int32)
    bottom, top, highest = work[0], work[1], work[2]
    totals = np.zeros(_LANES, np.int64)
    for start in range(target.start, target.stop, _LANES):
        values = _values_at(addresses, discounts, start, target, blocks)
        _find_range(values, bottom, highest)
        for j in range(_LANES):
            work[5, j] = highest[j]
        _select(values, weights, cut + 1, _Search(bottom, work[5], work[3], work[4]))
        # The upper value is not below the lower one: its search starts from there.
        for j in range(_LANES):
            top[j] = bottom[j]
        _select(values, weights, mass - cut, _Search(top, highest, work[3], work[4]))
        for j in range(_LANES):
            totals[j] = -cut * (np.int64(bottom[j]) + np.int64(top[j]))
        for i in range(len(addresses)):
            row, weight = values[i], np.int64(weights[i])
            for j in range(_LANES):
                totals[j] += weight * np.int64(min(max(row[j], bottom[j]), top[j]))
        for j in range(min(_LANES, target.stop - start)):
            mean = (2 * totals[j] + kept) // (2 * kept)
            add_step(target, start + j, (mean * mass + _HALF) >> 20)


@kernel
def _add_ranks(addresses: Int64s, scales: tuple[Int32s, int, int], ranks: _Ranks, target: Target) -> None:
    discounts, weight, mass = scales
    pairs, first, last, part = ranks
    kept = weight * (last - first + 1) - 2 * part
    blocks = np.zeros((_BLOCK // _LANES, len(addresses), _LANES), np.int32)
    totals = np.zeros(_LANES, np.int64)
    for start in range(target.start, target.stop, _LANES):
        values = _values_at(addresses, discounts, start, target, blocks)
        exchange(values, pairs, _LANES)
        low, high = values[first], values[last]
        for j in range(_LANES):
            totals[j] = -part * (np.int64(low[j]) + np.int64(high[j]))
        for i in range(first, last + 1):
            row = values[i]
            for j in range(_LANES):
                totals[j] += weight * np.int64(row[j])
        for j in range(min(_LANES, target.stop - start)):
            mean = np.int64(low[j]) if first == last else (2 * totals[j] + kept) // (2 * kept)
            add_step(target, start + j, (mean * mass + _HALF) >> 20)
