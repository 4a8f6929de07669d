"""The codec ``float32``: every coordinate as a little-endian IEEE 754 single (AGG-11)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flobc.errors import PayloadFault
from flobc.numerics.codecs.difference import Difference, chunk_bounds
from flobc.numerics.fixed_point import Grid, sum_squares
from flobc.numerics.kernels import Float32s, Int32s


@dataclass(frozen=True)
class Float32Codec:
    """Four bytes a coordinate. Loses nothing of an update that comes from float32 values.

    A grid value from a float32 fits a float32 again: below 2^24 units any integer does, and above
    it rounding to the grid changed nothing.
    """

    name: str = "float32"
    error_feedback: bool = False

    def max_chunk_bytes(self, count: int) -> int:
        """Always 4 bytes for each of ``count`` coordinates."""
        return 4 * count

    def encode_chunks(self, part: Difference, grid: Grid, decoded: Int32s | None) -> tuple[list[bytes], int]:
        """See ``Codec``."""
        update = np.empty(part.size, np.int32) if decoded is None else decoded
        grid.quantise_range(part.subtract(), part.first, update)
        values = grid.slice(part.first, part.first + part.size).to_float(update).astype("<f4", copy=False)
        squares = self._decode(values, part.first, grid, update)
        return [values[start:stop].tobytes() for start, stop in chunk_bounds(part.size, part.chunk_size)], squares

    def decode_chunk(self, data: bytes, first: int, grid: Grid, out: Int32s) -> int:
        """See ``Codec``. Values off the grid are rounded, half to even."""
        if len(data) != 4 * len(out):
            raise PayloadFault("bad_length", f"float32 chunk of {len(data)} bytes, expected {4 * len(out)}")
        return self._decode(np.frombuffer(data, "<f4"), first, grid, out)

    @staticmethod
    def _decode(values: Float32s, first: int, grid: Grid, out: Int32s) -> int:
        grid.quantise_range(np.require(values, np.float32, ["C", "A"]), first, out)
        return sum_squares(out)
