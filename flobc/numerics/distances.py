"""Exact squared distances between updates, in integers from end to end (AGG-23).

Inner products come from a compiled loop over four rows times four, sixteen sums held in registers. It
has not the limits of a float64 matrix product, which of many rows is faster. A product of two coordinates
below 2^26 is below 2^52, so the 2,048 of a block sum to less than 2^63. A block that holds a larger
coordinate is split, q = high * 2^15 + low with 0 <= low < 2^15 and |high| <= 2^15, and mixed = high +
low. Products of these are at most 2^32, so sums of 2^30 of them fit, and three of them give the rest:
high low' + low high' = mixed mixed' - high high' - low low' (Karatsuba).
"""

from __future__ import annotations

import functools
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from flobc.numerics.kernels import Int32s, Int64s, kernel, row_at
from flobc.numerics.parallel import for_each_range
from flobc.numerics.rows import DISCOUNT_ONE, UpdateRows

_LARGEST_BLOCK = 2048
_SMALLEST_BLOCK = 256
_BLOCK_VALUES = 1 << 17  # 512 KiB: a block of all rows stays in the second-level cache
_WHOLE_LIMIT = 1 << 26
_MANY_ROWS = 128
_EXACT_LIMIT = 2.0**53
_TILE = 4
_LOW_MASK = 0xFFFFFFFF


Gram: TypeAlias = npt.NDArray[Any]
"""Inner products of the discounted updates as Python integers, object[n, n]."""
UNIT_ROUNDOFF = 2.0**-53
"""How much a float64 operation is off at most, of its result."""


class _Sums(NamedTuple):
    """Inner products of all pairs of rows (int64[rows, rows]), the lower triangles.

    The true value is ``(upper << 32) + lower + (high << 30) + ((mixed - high - low) << 15) + low``.
    """

    upper: Int64s
    lower: Int64s
    high: Int64s
    low: Int64s
    mixed: Int64s


class InnerProducts(Protocol):
    """The Gram matrix of n discounted updates."""

    def get_exact(self) -> Gram:
        """Return it as Python integers."""

    def get_rounded(self) -> tuple[npt.NDArray[np.float64], float]:
        """Return it in float64, and how far off any value is at most."""


@dataclass(frozen=True)
class _SmallProducts:
    """Products below 2^53 in magnitude: float64 holds them exactly."""

    values: npt.NDArray[np.float64]

    def get_exact(self) -> Gram:
        return self.values.astype(np.int64).astype(object)

    def get_rounded(self) -> tuple[npt.NDArray[np.float64], float]:
        return self.values, 0.0


@dataclass(frozen=True)
class _LargeProducts:
    """Products of any size, in the sums that they are made of."""

    sums: _Sums
    count: int

    def get_exact(self) -> Gram:
        upper, lower, high, low, mixed = (part.astype(object) for part in self._parts())
        return _mirror((upper << 32) + lower + (high << 30) + ((mixed - high - low) << 15) + low)

    def get_rounded(self) -> tuple[npt.NDArray[np.float64], float]:
        upper, lower, high, low, mixed = self._parts()
        terms = [np.ldexp(upper, 32), lower.astype(np.float64)]
        if mixed.any() or high.any() or low.any():
            terms += [np.ldexp(high, 30), np.ldexp(mixed - high - low, 15), low.astype(np.float64)]
        largest = sum(max(float(np.max(term)), -float(np.min(term))) for term in terms)
        # Each term is rounded once as it is converted, and each of the four sums once: nine units in the last place.
        return _mirror(functools.reduce(np.add, terms)), 16 * UNIT_ROUNDOFF * largest

    def _parts(self) -> Iterator[Int64s]:
        return (part[: self.count, : self.count] for part in self.sums)


def squared_distances(rows: UpdateRows, size: int) -> list[list[int]]:
    """``[i][j]`` = sum over ``size`` coordinates of (u_i - u_j)^2 for the discounted updates, exact.

    Extra memory for each thread: at most 24 KiB for each row, and 40 bytes for each pair of rows.
    """
    products = inner_products(rows, size).get_exact()
    norms = products.diagonal()
    distances: npt.NDArray[Any] = norms[:, None] + norms[None, :] - 2 * products
    return [[int(value) for value in row] for row in distances]


def inner_products(rows: UpdateRows, size: int) -> InnerProducts:
    """The inner products of all pairs of discounted updates, exact."""
    count = len(rows.addresses)
    small = _multiply_small(rows, size) if count >= _MANY_ROWS else None
    if small is not None:
        return _SmallProducts(small)
    total = _empty_sums(count)
    lock = threading.Lock()

    def add_range(start: int, stop: int) -> None:
        part = _empty_sums(count)
        _add_products(rows.addresses, rows.discounts, (start, stop), part)
        with lock:
            for into, addend in zip(total, part, strict=True):
                np.add(into, addend, out=into)

    for_each_range(size, add_range)
    return _LargeProducts(total, count)


def _multiply_small(rows: UpdateRows, size: int) -> npt.NDArray[np.float64] | None:
    """Return the inner products by float64 matrix products, or None where these could round.

    A sum of some of two rows' products is no greater than their lengths multiplied (Cauchy and Schwarz), and sums of
    integers that stay below 2^53 are exact in any order; that of the squares grows, so one found below was never
    rounded. Of many rows a library's product is made several times as fast as by the loops below, with a fifth of
    the memory.
    """
    count = len(rows.addresses)
    values = np.zeros((count, _LARGEST_BLOCK), np.int32)

    def load() -> Iterator[npt.NDArray[np.float64]]:
        for start in range(0, size, _LARGEST_BLOCK):
            width = min(_LARGEST_BLOCK, size - start)
            _load(rows.addresses, rows.discounts, start, width, values)
            yield values[:, :width].astype(np.float64)

    squares = np.zeros(count)
    for block in load():
        squares += np.einsum("ij,ij->i", block, block)
        if squares.max() >= _EXACT_LIMIT:
            return None
    found = np.zeros((count, count))
    for block in load():
        found += block @ block.T
    return found


def _mirror(triangle: npt.NDArray[Any]) -> npt.NDArray[Any]:
    whole: npt.NDArray[Any] = np.tril(triangle) + np.tril(triangle, -1).T
    return whole


def _empty_sums(count: int) -> _Sums:
    rows = -(-count // _TILE) * _TILE
    return _Sums(*np.zeros((5, rows, rows), np.int64))


@kernel
def _add_products(addresses: Int64s, discounts: Int32s, reach: tuple[int, int], sums: _Sums) -> None:
    rows = len(sums.low)
    width = min(max(_BLOCK_VALUES // rows, _SMALLEST_BLOCK), _LARGEST_BLOCK)
    values = np.zeros((rows, width), np.int32)
    highs = np.zeros((rows, width), np.int32)
    block = np.zeros((rows, rows), np.int64)
    for start in range(reach[0], reach[1], width):
        count = min(width, reach[1] - start)
        if _load(addresses, discounts, start, count, values) < _WHOLE_LIMIT:
            _multiply(values, count, block)
            for i in range(rows):
                for j in range(rows):
                    sums.upper[i, j] += block[i, j] >> 32
                    sums.lower[i, j] += block[i, j] & _LOW_MASK
                    block[i, j] = 0
        else:
            for i in range(rows):
                for k in range(count):
                    highs[i, k] = values[i, k] >> 15
                    values[i, k] &= 32767
            _multiply(highs, count, sums.high)
            _multiply(values, count, sums.low)
            for i in range(rows):
                for k in range(count):
                    values[i, k] += highs[i, k]
            _multiply(values, count, sums.mixed)


@kernel
def _load(addresses: Int64s, discounts: Int32s, start: int, count: int, values: Int32s) -> int:
    """Fill ``values`` (int32[rows, width]) with discounted coordinates; returns the largest magnitude."""
    peak = np.int32(0)
    for i in range(len(addresses)):
        row, into = row_at(addresses[i], start, count), values[i]
        discount = np.int64(discounts[i])
        for k in range(count):
            value = row[k]
            if discount != DISCOUNT_ONE:
                value = np.int32((np.int64(value) * discount + 32768) >> 16)
            into[k] = value
            peak = max(peak, abs(value))
    return int(peak)


@kernel
def _multiply(values: Int32s, count: int, sums: Int64s) -> None:
    """Add the lower triangle of ``values @ values.T`` over the first ``count`` columns to ``sums``.

    Written out because sixteen sums in sixteen names stay in registers; an array of them would not.
    """
    for i in range(0, len(values), 4):
        a, b, c, d = values[i], values[i + 1], values[i + 2], values[i + 3]
        for j in range(0, i + 4, 4):
            e, f, g, h = values[j], values[j + 1], values[j + 2], values[j + 3]
            ae = af = ag = ah = be = bf = bg = bh = np.int64(0)
            ce = cf = cg = ch = de = df = dg = dh = np.int64(0)
            for k in range(count):
                ak, bk, ck, dk = np.int64(a[k]), np.int64(b[k]), np.int64(c[k]), np.int64(d[k])
                ek, fk, gk, hk = np.int64(e[k]), np.int64(f[k]), np.int64(g[k]), np.int64(h[k])
                ae, af, ag, ah = ae + ak * ek, af + ak * fk, ag + ak * gk, ah + ak * hk
                be, bf, bg, bh = be + bk * ek, bf + bk * fk, bg + bk * gk, bh + bk * hk
                ce, cf, cg, ch = ce + ck * ek, cf + ck * fk, cg + ck * gk, ch + ck * hk
                de, df, dg, dh = de + dk * ek, df + dk * fk, dg + dk * gk, dh + dk * hk
            rows_of_sums = ((ae, af, ag, ah), (be, bf, bg, bh), (ce, cf, cg, ch), (de, df, dg, dh))
            for t, four in enumerate(rows_of_sums):
                for u in range(4):
                    sums[i + t, j + u] += four[u]
