"""What every codec can do, and the list of them."""

from __future__ import annotations

from typing import Protocol

from flobc.errors import UsageError
from flobc.numerics.codecs.block import BlockCodec
from flobc.numerics.codecs.difference import Difference
from flobc.numerics.codecs.float32 import Float32Codec
from flobc.numerics.fixed_point import Grid
from flobc.numerics.kernels import Int32s


class Codec(Protocol):
    """Turns coordinates on the grid into bytes and back; knows neither chunk order nor hashes.

    A chunk stands alone: it decodes without its neighbours.
    """

    @property
    def name(self) -> str:
        """As written in genesis and in the header of an update."""

    @property
    def error_feedback(self) -> bool:
        """Whether a sender keeps the rounding error for its next update unless told otherwise."""

    def max_chunk_bytes(self, count: int) -> int:
        """The most bytes that ``count`` coordinates can take."""

    def encode_chunks(self, part: Difference, grid: Grid, decoded: Int32s | None) -> tuple[list[bytes], int]:
        """The chunks of ``part``, which begins with one, and the sum of squares of what receivers will decode,
        in squared grid units. Those values go into ``decoded`` (int32, of the same length) if it is given.

        Raises:
            PayloadFault: ``non_finite`` or ``out_of_range``.
        """

    def decode_chunk(self, data: bytes, first: int, grid: Grid, out: Int32s) -> int:
        """Decode ``data`` into ``out`` (int32[n], from coordinate ``first``) and return the sum of its squares.

        Raises:
            PayloadFault: ``bad_length``, ``bad_encoding``, ``non_finite`` or ``out_of_range``.
        """


_CODECS: dict[str, Codec] = {
    codec.name: codec
    for codec in (
        Float32Codec(),
        BlockCodec("int16", mantissa_bits=16, block=256, error_feedback=False),
        BlockCodec("int8", mantissa_bits=8, block=64, error_feedback=True),
    )
}
CODEC_NAMES = tuple(_CODECS)


def get_codec(name: str) -> Codec:
    """The codec called ``name``.

    Raises:
        UsageError: there is none of that name.
    """
    if name not in _CODECS:
        raise UsageError(f"There is no codec {name!r}; choose one of {', '.join(CODEC_NAMES)}.")
    return _CODECS[name]
