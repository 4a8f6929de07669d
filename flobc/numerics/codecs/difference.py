"""What a codec is given to encode: consecutive coordinates of a vector less those of its base."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from flobc.numerics.fixed_point import Grid
from flobc.numerics.kernels import Float32s


def chunk_bounds(size: int, chunk_size: int) -> list[tuple[int, int]]:
    """``[start, stop)`` of each chunk of ``chunk_size`` coordinates; the last one may be shorter."""
    return [(start, min(start + chunk_size, size)) for start in range(0, size, chunk_size)]


@dataclass(frozen=True)
class Difference:
    """``vector`` less ``base`` (float32[n] both; no base is 0), from coordinate ``first`` on, in chunks.

    The subtraction is left to whoever reads the values anyway: another pass over memory would cost more.
    """

    vector: Float32s
    base: Float32s | None
    first: int
    chunk_size: int

    @property
    def size(self) -> int:
        """The number of coordinates, n."""
        return len(self.vector)

    def cut(self, start: int, stop: int) -> Difference:
        """The coordinates ``[start, stop)``, counted from the first here."""
        base = None if self.base is None else self.base[start:stop]
        return Difference(self.vector[start:stop], base, self.first + start, self.chunk_size)

    def subtract(self) -> Float32s:
        """The values."""
        return self.vector if self.base is None else self.vector - self.base

    def scale(self, grid: Grid) -> tuple[Difference, np.float32]:
        """An equal difference but for a factor that brings it to grid units, and that factor."""
        if grid.is_uniform(self.first, self.first + self.size):
            return self, grid.get_scale(self.first)
        scaled = grid.scale_range(self.subtract(), self.first)
        return Difference(scaled, None, self.first, self.chunk_size), np.float32(1)
