"""The grid: a model is int32 in units of 2^-F per segment, and floats are only a view of it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from flobc.errors import LocalProtocolError, PayloadFault
from flobc.numerics.kernels import Float32s, Int32s, checked, kernel, read_only
from flobc.numerics.parallel import for_each_range

MAX_ABS_UPDATE = 2**30
"""Every decoded coordinate of an update is smaller than this in magnitude (AGG-2)."""
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1
MAX_FRACTION_BITS = 30
DEFAULT_FRACTION_BITS = 24


@dataclass(frozen=True)
class Segment:
    """Coordinates ``[start, stop)`` in units of ``2**-fraction_bits``, the model clamped to ``[lo, hi]``."""

    start: int
    stop: int
    fraction_bits: int
    lo: int = INT32_MIN
    hi: int = INT32_MAX

    def continues(self, other: Segment) -> bool:
        """Whether the coordinates of ``self`` are treated like those of ``other``, right before it."""
        return other.stop == self.start and (self.fraction_bits, self.lo, self.hi) == (
            other.fraction_bits,
            other.lo,
            other.hi,
        )


@dataclass(frozen=True)
class Grid:
    """Segments that cover ``[0, size)`` without gap or overlap.

    Raises:
        LocalProtocolError: at construction, where a segment breaks AGG-1.
    """

    segments: tuple[Segment, ...]

    def __post_init__(self) -> None:
        position = 0
        for segment in self.segments:
            if segment.start != position or segment.stop <= segment.start:
                raise LocalProtocolError("AGG-1", f"a segment from {position} of 1 or more", repr(segment))
            if not 0 <= segment.fraction_bits <= MAX_FRACTION_BITS:
                raise LocalProtocolError("AGG-1", f"0 to {MAX_FRACTION_BITS} fraction bits", repr(segment))
            if not INT32_MIN <= segment.lo <= segment.hi <= INT32_MAX:
                raise LocalProtocolError("AGG-1", "int32 bounds with lo <= hi", repr(segment))
            position = segment.stop

    @classmethod
    def uniform(cls, size: int, fraction_bits: int = DEFAULT_FRACTION_BITS) -> Grid:
        """One segment for all ``size`` coordinates."""
        return cls((Segment(0, size, fraction_bits),))

    @property
    def size(self) -> int:
        """Number of coordinates."""
        return self.segments[-1].stop if self.segments else 0

    @cached_property
    def _merged(self) -> tuple[Segment, ...]:
        merged: list[Segment] = []
        for segment in self.segments:
            if merged and segment.continues(merged[-1]):
                merged[-1] = replace(merged[-1], stop=segment.stop)
            else:
                merged.append(segment)
        return tuple(merged)

    def pieces(self, start: int, stop: int) -> Iterator[Segment]:
        """The parts of ``[start, stop)`` that are treated alike, in order, equal neighbours joined."""
        for segment in self._merged:
            if segment.start < stop and segment.stop > start:
                is_whole = start <= segment.start and segment.stop <= stop
                yield (
                    segment
                    if is_whole
                    else replace(segment, start=max(segment.start, start), stop=min(segment.stop, stop))
                )

    def slice(self, start: int, stop: int) -> Grid:
        """The grid of coordinates ``[start, stop)`` alone, counted from 0: for chunk-wise aggregation."""
        return Grid(
            tuple(
                replace(piece, start=piece.start - start, stop=piece.stop - start) for piece in self.pieces(start, stop)
            )
        )

    def to_float(self, model: Int32s, out: Float32s | None = None) -> Float32s:
        """The float32 view of ``model``, each coordinate the float nearest to it, ties to even (AGG-4)."""
        return self.candidate(model, None, out)

    def candidate(self, model: Int32s, update: Int32s | None, out: Float32s | None = None, shift: int = 0) -> Float32s:
        """The float32 view of ``model`` with ``update`` added: what an update is judged by (AGG-4).

        ``update >> shift`` is added (towards minus infinity), so 2 adds a quarter. The sum saturates
        at int32 and is clamped to its segment's bounds, in one pass.
        """
        model = checked(model, np.int32, self.size, "model")
        addend = model if update is None else checked(update, np.int32, self.size, "update")
        result = np.empty(self.size, np.float32) if out is None else out
        checked(result, np.float32, self.size, "out")

        def convert(start: int, stop: int) -> None:
            for piece in self.pieces(start, stop):
                part = slice(piece.start, piece.stop)
                view = (piece.lo, piece.hi, np.float32(2.0**-piece.fraction_bits), shift)
                _candidate(model[part], addend[part], update is not None, view, result[part])

        for_each_range(self.size, convert)
        return result

    def quantise_model(self, values: npt.NDArray[np.floating[Any]]) -> Int32s:
        """``values`` (float[D]) on the grid, half to even: the initial model of a chain (AGG-3).

        Raises:
            LocalProtocolError: a value is not finite or outside its segment's bounds.
        """
        if values.shape != (self.size,):
            raise LocalProtocolError("AGG-3", f"a model of {self.size} values", f"shape {values.shape}")
        result = np.empty(self.size, np.int32)
        for piece in self.pieces(0, self.size):
            part = values[piece.start : piece.stop].astype(np.float64)
            scaled = np.rint(np.ldexp(part, piece.fraction_bits))
            outside = ~((scaled >= piece.lo) & (scaled <= piece.hi))
            if outside.any():
                first = int(np.argmax(outside))
                low, high = (bound * 2.0**-piece.fraction_bits for bound in (piece.lo, piece.hi))
                raise LocalProtocolError(
                    "AGG-3",
                    f"finite values in [{low:g}, {high:g}]",
                    f"{part[first]:g} at coordinate {piece.start + first}",
                )
            result[piece.start : piece.stop] = scaled
        return result

    def quantise_update(self, delta: Float32s) -> Int32s:
        """``delta`` (float32[D]) on the grid, half to even (AGG-3).

        Raises:
            PayloadFault: ``non_finite``, or ``out_of_range`` where a value reaches 2^30 grid units.
        """
        delta = checked(delta, np.float32, self.size, "delta")
        result = np.empty(self.size, np.int32)
        for_each_range(self.size, lambda start, stop: self.quantise_range(delta[start:stop], start, result[start:stop]))
        return result

    def quantise_range(self, delta: Float32s, first: int, out: Int32s) -> None:
        """As ``quantise_update``, for ``delta`` that begins at coordinate ``first``, into ``out``."""
        for piece in self.pieces(first, first + len(delta)):
            start, stop = piece.start - first, piece.stop - first
            values = read_only(delta[start:stop])
            if _quantise(values, np.float32(2.0**piece.fraction_bits), out[start:stop]):
                raise self.find_fault(delta, first)

    def find_fault(self, delta: Float32s, first: int) -> PayloadFault:
        """The fault of ``delta``, from coordinate ``first`` on, of which something has no place on the grid."""
        numbers = np.isfinite(delta)
        if not numbers.all():
            place = int(np.argmin(numbers))
            return PayloadFault("non_finite", f"coordinate {first + place} is {delta[place]}, expected a number")
        place = int(np.argmax(np.abs(np.rint(self.scale_range(delta, first))) >= MAX_ABS_UPDATE))
        limit = MAX_ABS_UPDATE / float(self.get_scale(first + place))
        return PayloadFault(
            "out_of_range", f"coordinate {first + place} is {delta[place]:g}, expected magnitude below {limit:g}"
        )

    def is_uniform(self, start: int, stop: int) -> bool:
        """Whether the coordinates ``[start, stop)`` are all treated alike."""
        return len(tuple(self.pieces(start, stop))) == 1

    def get_scale(self, coordinate: int) -> np.float32:
        """How many grid units 1.0 is at ``coordinate``: a power of two."""
        found = next(segment for segment in self._merged if segment.start <= coordinate < segment.stop)
        return np.float32(2.0**found.fraction_bits)

    def scale_range(self, delta: Float32s, first: int) -> Float32s:
        """``delta``, from coordinate ``first`` on, in grid units, not yet rounded.

        Exact, since units are powers of two; what is too large becomes infinite, what is not finite stays so.
        """
        scaled = np.empty_like(delta)
        with np.errstate(over="ignore"):
            for piece in self.pieces(first, first + len(delta)):
                part = slice(piece.start - first, piece.stop - first)
                np.multiply(delta[part], np.float32(2.0**piece.fraction_bits), out=scaled[part])
        return scaled


def norm(update: Int32s) -> int:
    """``floor(sqrt(sum of squares))`` of ``update`` in grid units, exact for up to 2^31 coordinates (AGG-8)."""
    vector = checked(update, np.int32, update.size, "update")
    return math.isqrt(sum(for_each_range(update.size, lambda start, stop: sum_squares(vector[start:stop]))))


def sum_squares(part: Int32s) -> int:
    """The sum of squares of a part of an update in squared grid units, exact: for who has the part in the cache."""
    high, low = _square_sum(read_only(part))
    return (int(high) << 32) + int(low)


@kernel
def _quantise(values: Float32s, scale: np.float32, out: Int32s) -> int:
    """Scaling by a power of two is exact in float32, so ``rint`` sees the true value; returns faults."""
    faults = 0
    for i in range(len(values)):
        scaled = np.rint(values[i] * scale)
        # False for NaN too. The cast below sees 0 then: casting what does not fit is undefined.
        inside = abs(scaled) < np.float32(MAX_ABS_UPDATE)
        faults += not inside
        out[i] = np.int32(scaled if inside else np.float32(0))
    return faults


@kernel
def _candidate(
    model: Int32s, update: Int32s, added: bool, view: tuple[int, int, np.float32, int], out: Float32s
) -> None:
    lo, hi, scale, shift = view
    for i in range(len(model)):
        value = np.int64(model[i])
        if added:
            value += np.int64(update[i]) >> shift
        # int32 to float32 rounds half to even; the power of two then changes the exponent only.
        out[i] = np.float32(np.int32(min(max(value, np.int64(lo)), np.int64(hi)))) * scale


@kernel
def _square_sum(update: Int32s) -> tuple[int, int]:
    """The sum in two parts, ``high * 2**32 + low``: each square is below 2^63, their sum is not."""
    high = np.uint64(0)
    low = np.uint64(0)
    for i in range(len(update)):
        value = np.int64(update[i])
        square = np.uint64(value * value)
        high += square >> np.uint64(32)
        low += square & np.uint64(0xFFFFFFFF)
    return high, low  # type: ignore[return-value]
