"""The codecs ``int16`` and ``int8``: small integers with a power-of-two scale per block (AGG-12).

A coordinate is ``mantissa << exponent`` in grid units, the exponent shared by a block of
neighbours. No float occurs, so decoding is exact by construction, and the encoding of given values
is unique: a receiver refuses any other bytes for them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flobc.errors import PayloadFault
from flobc.numerics.codecs.difference import Difference, chunk_bounds
from flobc.numerics.fixed_point import MAX_ABS_UPDATE, Grid
from flobc.numerics.kernels import Float32s, Int32s, kernel, read_only

_EXPONENTS = 32
_NO_BASE = np.empty(0, np.float32)
_DTYPES: dict[int, npt.DTypeLike] = {8: np.dtype("<i1"), 16: np.dtype("<i2")}


@dataclass(frozen=True)
class BlockCodec:
    """``n`` mantissas, then one exponent byte for each block begun."""

    name: str
    mantissa_bits: int
    block: int
    error_feedback: bool

    def max_chunk_bytes(self, count: int) -> int:
        """Mantissas and exponents for ``count`` coordinates; every chunk takes exactly this."""
        return count * self.mantissa_bits // 8 + -(-count // self.block)

    def encode_chunks(self, part: Difference, grid: Grid, decoded: Int32s | None) -> tuple[list[bytes], int]:
        """See ``Codec``."""
        # Blocks count from the chunk's first coordinate, so they run through where chunks are whole blocks.
        stretch = part.size if part.chunk_size % self.block == 0 else part.chunk_size
        chunks: list[bytes] = []
        squares = np.zeros(_EXPONENTS, np.uint64)
        for start, stop in chunk_bounds(part.size, stretch):
            into = None if decoded is None else decoded[start:stop]
            mantissas, exponents = self._encode(part.cut(start, stop), grid, into, squares)
            for first, last in chunk_bounds(stop - start, part.chunk_size):
                blocks = slice(first // self.block, -(-last // self.block))
                chunks.append(b"".join((mantissas[first:last].data, exponents[blocks].data)))
        return chunks, _total(squares)

    def _encode(
        self, part: Difference, grid: Grid, decoded: Int32s | None, squares: npt.NDArray[np.uint64]
    ) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """Mantissas and exponents of blocks that count from the first coordinate of ``part``."""
        mantissas = np.empty(part.size, _DTYPES[self.mantissa_bits])
        exponents = np.empty(-(-part.size // self.block), np.uint8)
        scaled, scale = part.scale(grid)
        vector = read_only(scaled.vector)
        base = read_only(_NO_BASE if scaled.base is None else scaled.base)
        for run, blocks in self._rows(part.size):
            shape = (blocks.stop - blocks.start, -1)
            rows = mantissas[run].reshape(shape)
            less = base[run].reshape(shape) if len(base) else _NO_BASE.reshape(0, 0)
            wanted = (vector[run].reshape(shape), read_only(less), scale)
            if _encode_blocks(wanted, rows, exponents[blocks], squares, self.mantissa_bits - 1):
                raise grid.find_fault(part.subtract(), part.first)
            if decoded is not None:
                _expand(read_only(rows), exponents[blocks], decoded[run].reshape(shape))
        return mantissas, exponents

    def decode_chunk(self, data: bytes, first: int, grid: Grid, out: Int32s) -> int:  # noqa: ARG002
        """See ``Codec``."""
        expected = self.max_chunk_bytes(len(out))
        if len(data) != expected:
            raise PayloadFault("bad_length", f"{self.name} chunk of {len(data)} bytes, expected {expected}")
        mantissas, exponents = self._split(np.frombuffer(data, np.uint8), len(out))
        aligned = np.require(mantissas, requirements=["C", "A"])
        squares = np.zeros(_EXPONENTS, np.uint64)
        for part, blocks in self._rows(len(out)):
            shape = (blocks.stop - blocks.start, -1)
            values, scales = read_only(aligned[part].reshape(shape)), read_only(exponents[blocks])
            bad = _decode_blocks(values, scales, out[part].reshape(shape), squares, self.mantissa_bits - 1)
            if bad >= 0:
                raise PayloadFault(
                    "bad_encoding",
                    f"block {blocks.start + bad} of the {self.name} chunk at coordinate {first}, exponent "
                    f"{scales[bad]}: expected the one shortest form with an exponent of at most "
                    f"{31 - self.mantissa_bits}",
                )
        return _total(squares)

    def _split(self, payload: npt.NDArray[np.uint8], count: int) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8]]:
        """The mantissas of ``count`` coordinates and the exponents, as views of ``payload``."""
        end = count * self.mantissa_bits // 8
        return payload[:end].view(_DTYPES[self.mantissa_bits]), payload[end:]

    def _rows(self, count: int) -> Iterator[tuple[slice, slice]]:
        """Coordinates and blocks: all whole blocks, then the short one at the end if there is one.

        Rows of equal length let the loops over a block start at 0, which is what compilers vectorise.
        """
        whole = count // self.block
        if whole:
            yield slice(0, whole * self.block), slice(0, whole)
        if count % self.block:
            yield slice(whole * self.block, count), slice(whole, whole + 1)


def _total(squares: npt.NDArray[np.uint64]) -> int:
    """The sum of squares of a chunk from the sums of squared mantissas per exponent."""
    return sum(int(squares[exponent]) << (2 * exponent) for exponent in squares.nonzero()[0].tolist())


# The loops below stay in 32 bits, so that a vector holds as many lanes as it can: each result is cast, because
# numba widens int32 arithmetic otherwise. A squared mantissa is below 2^30; its halves are summed apart, and a
# block of at most 256 of them does not overflow. A block's bit length comes from the magnitudes joined by "or".


@kernel
def _encode_blocks(
    wanted: tuple[Float32s, Float32s, np.float32],
    mantissas: npt.NDArray[Any],
    exponents: npt.NDArray[np.uint8],
    squares: npt.NDArray[np.uint64],
    bits: int,
) -> int:
    """Mantissas of ``bits`` bits and a sign for ``wanted``: (vector - base) * scale, float32[blocks, n].

    An empty base is 0. Adds the squared mantissas of a block to the ``squares`` of its exponent. Returns
    nonzero where a value has no place on the grid. Both roundings are of exact values: a grid value that
    comes from a float32 is a float32, and so is its product with a power of two.
    """
    vector, base, scale = wanted
    limit = np.float32((1 << bits) - 1)
    ceiling = np.float32(MAX_ABS_UPDATE)
    length = vector.shape[1]
    on_grid = np.empty(length, np.float32)
    faults = np.int32(0)
    for b in range(len(exponents)):
        values, into = vector[b], mantissas[b]
        if len(base) > 0:
            less = base[b]
            for i in range(length):
                on_grid[i] = values[i] - less[i]
        else:
            for i in range(length):
                on_grid[i] = values[i]
        joined = np.int32(0)
        for i in range(length):
            value = np.rint(on_grid[i] * scale)
            # False for NaN too. The cast below sees 0 then: casting what does not fit is undefined.
            inside = abs(value) < ceiling
            faults = np.int32(faults | (np.int32(0) if inside else np.int32(1)))
            value = value if inside else np.float32(0)
            on_grid[i] = value
            joined = np.int32(joined | abs(np.int32(value)))
        if faults:
            return 1
        exponent = 0
        while (joined >> exponent) >> bits > 0:
            exponent += 1
        exponents[b] = exponent
        shrink = np.float32(1.0) / np.float32(1 << exponent)
        low, high = np.int32(0), np.int32(0)
        for i in range(length):
            # Rounding up may reach 2^bits; it saturates, so that the result stays below 2^30.
            mantissa = np.int32(min(max(np.rint(on_grid[i] * shrink), -limit), limit))
            into[i] = mantissa
            square = np.int32(mantissa * mantissa)
            low = np.int32(low + np.int32(square & np.int32(0xFFFF)))
            high = np.int32(high + np.int32(square >> np.int32(16)))
        squares[exponent] += np.uint64((np.int64(high) << 16) + low)
    return 0


@kernel
def _expand(mantissas: npt.NDArray[Any], exponents: npt.NDArray[np.uint8], out: Int32s) -> None:
    """What ``_decode_blocks`` makes of blocks that are known to be right."""
    for b in range(len(exponents)):
        values, into = mantissas[b], out[b]
        factor = np.int32(np.int32(1) << np.int32(exponents[b]))
        for i in range(len(values)):
            into[i] = np.int32(np.int32(values[i]) * factor)


@kernel
def _decode_blocks(
    mantissas: npt.NDArray[Any],
    exponents: npt.NDArray[np.uint8],
    out: Int32s,
    squares: npt.NDArray[np.uint64],
    bits: int,
) -> int:
    """Returns the first block that is not in its shortest form, or -1. For ``squares`` see ``_encode_blocks``."""
    for b in range(len(exponents)):
        values, into = mantissas[b], out[b]
        exponent = np.int32(exponents[b])
        if exponent > 30 - bits:
            return b
        factor = np.int32(np.int32(1) << exponent)
        joined, low, high = np.int32(0), np.int32(0), np.int32(0)
        for i in range(len(values)):
            value = np.int32(values[i])
            joined = np.int32(joined | abs(value))
            into[i] = np.int32(value * factor)
            square = np.int32(value * value)
            low = np.int32(low + np.int32(square & np.int32(0xFFFF)))
            high = np.int32(high + np.int32(square >> np.int32(16)))
        if joined >> bits > 0 or (exponent > 0 and joined >> (bits - 1) == 0):
            return b
        squares[exponent] += np.uint64((np.int64(high) << 16) + low)
    return -1
