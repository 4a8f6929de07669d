"""Whole updates: into chunks at the sender, back onto the grid at every receiver (AGG-10)."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from flobc.errors import PayloadFault
from flobc.numerics.codecs.base import Codec, get_codec
from flobc.numerics.codecs.difference import Difference, chunk_bounds
from flobc.numerics.fixed_point import Grid
from flobc.numerics.kernels import Float32s, Int32s, checked, kernel, read_only
from flobc.numerics.parallel import for_each, for_each_range


@dataclass(frozen=True)
class EncodedUpdate:
    """What a sender publishes and what it keeps."""

    chunks: tuple[bytes, ...]
    norm: int
    """In grid units, of the update as every receiver decodes it."""
    residual: Float32s | None
    """float32[D]: what the codec lost, to be added to the next update; None without feedback."""
    digests: tuple[bytes, ...] = ()
    """``digest(chunk)`` of each chunk; empty where no ``digest`` was given."""
    decoded: Int32s | None = None
    """int32[D]: the update as every receiver decodes it, where it was asked for."""


@dataclass(frozen=True)
class DecodedUpdate:
    """What a receiver has of an update: ``update`` is int32[D], ``norm`` in grid units."""

    update: Int32s
    norm: int


@dataclass(frozen=True)
class _Encoding:
    """One update on its way through a codec: chunks are independent, so threads share the work."""

    vector: Float32s
    base: Float32s | None
    chunk_size: int
    grid: Grid
    codec: Codec
    residual: Float32s | None
    digest: Callable[[bytes], bytes] | None
    decoded: Int32s | None

    def encode(self, start: int, stop: int) -> tuple[list[bytes], list[bytes], int]:
        """The chunks of the coordinates ``[start, stop)``, their digests, and the sum of squares of what decodes."""
        part = Difference(self.vector, self.base, 0, self.chunk_size).cut(start, stop)
        decoded = None if self.decoded is None else self.decoded[start:stop]
        if self.residual is None:
            chunks, squares = self.codec.encode_chunks(part, self.grid, decoded)
        else:
            wanted = part.subtract() + self.residual[start:stop]
            decoded = np.empty(stop - start, np.int32) if decoded is None else decoded
            chunks, squares = self.codec.encode_chunks(replace(part, vector=wanted, base=None), self.grid, decoded)
            for piece in self.grid.pieces(start, stop):
                run = slice(piece.start - start, piece.stop - start)
                kept = self.residual[piece.start : piece.stop]
                _subtract(read_only(wanted[run]), read_only(decoded[run]), np.float32(2.0**-piece.fraction_bits), kept)
        return chunks, [self.digest(data) for data in chunks] if self.digest else [], squares


def encode_update(
    vector: Float32s,
    grid: Grid,
    codec_name: str,
    chunk_size: int,
    *,
    base: Float32s | None = None,
    residual: Float32s | None = None,
    digest: Callable[[bytes], bytes] | None = None,
    keep_decoded: bool = False,
) -> EncodedUpdate:
    """Encode ``vector`` (float32[D]) less ``base`` plus the ``residual`` of the update before.

    Chunks are encoded, and hashed by ``digest``, several at a time. A codec with error feedback
    keeps a residual from its first update on; for the others it is kept if one is passed in. With
    ``keep_decoded`` the result holds what receivers will decode.

    Raises:
        PayloadFault: ``non_finite`` or ``out_of_range``: receivers would refuse this update.
    """
    codec = get_codec(codec_name)
    vector = checked(vector, np.float32, grid.size, "vector")
    if base is not None:
        base = checked(base, np.float32, grid.size, "base")
    carried: Float32s | None = None
    if residual is not None:
        carried = checked(residual, np.float32, grid.size, "residual").copy()
    elif codec.error_feedback:
        carried = np.zeros(grid.size, np.float32)
    decoded = np.empty(grid.size, np.int32) if keep_decoded else None
    encoding = _Encoding(vector, base, chunk_size, grid, codec, carried, digest, decoded)
    results = for_each_range(grid.size, encoding.encode, unit=chunk_size)
    return EncodedUpdate(
        chunks=tuple(data for chunks, _, _ in results for data in chunks),
        digests=tuple(value for _, digests, _ in results for value in digests),
        norm=math.isqrt(sum(squares for _, _, squares in results)),
        residual=carried,
        decoded=decoded,
    )


def decode_chunk(data: bytes, first: int, count: int, grid: Grid, codec_name: str) -> Int32s:
    """The ``count`` coordinates from ``first`` that ``data`` holds: for aggregation that streams.

    Raises:
        PayloadFault: ``bad_length``, ``bad_encoding``, ``non_finite`` or ``out_of_range``.
    """
    out = np.empty(count, np.int32)
    get_codec(codec_name).decode_chunk(data, first, grid, out)
    return out


def decode_update(chunks: Sequence[bytes], grid: Grid, codec_name: str, chunk_size: int) -> DecodedUpdate:
    """The update that ``chunks`` hold, every coordinate below 2^30 in magnitude.

    Raises:
        PayloadFault: with the code of the first chunk that is wrong, or ``bad_length`` where their
            number is.
    """
    codec = get_codec(codec_name)
    bounds = chunk_bounds(grid.size, chunk_size)
    if len(chunks) != len(bounds):
        raise PayloadFault("bad_length", f"{len(chunks)} chunks, expected {len(bounds)} of {chunk_size} coordinates")
    update = np.empty(grid.size, np.int32)

    def decode(index: int) -> int:
        part = slice(*bounds[index])
        return codec.decode_chunk(chunks[index], part.start, grid, update[part])

    return DecodedUpdate(update, math.isqrt(sum(for_each(range(len(bounds)), decode))))


@kernel
def _subtract(wanted: Float32s, update: Int32s, scale: np.float32, residual: Float32s) -> None:
    """Both terms are near each other, so the float32 difference is exact where it matters."""
    for i in range(len(wanted)):
        residual[i] = wanted[i] - np.float32(update[i]) * scale
