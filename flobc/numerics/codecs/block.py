"""The codecs ``int16`` and ``int8``: small integers with a power-of-two scale per block (AGG-12).

A coordinate is ``mantissa << exponent`` in grid units, the exponent shared by a block of
neighbours. No float occurs, so decoding is exact by construction, and the encoding of given values
is unique: a receiver refuses any other bytes for them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flobc.errors import PayloadFault
from flobc.numerics.fixed_point import Grid
from flobc.numerics.kernels import Int32s, kernel, read_only

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

    def encode_chunk(self, update: Int32s, first: int, grid: Grid) -> bytes:  # noqa: ARG002
        """See ``Codec``."""
        payload = np.empty(self.max_chunk_bytes(len(update)), np.uint8)
        split = len(update) * self.mantissa_bits // 8
        mantissas = payload[:split].view(_DTYPES[self.mantissa_bits])
        _encode_blocks(update, mantissas, payload[split:], self.block, self.mantissa_bits - 1)
        return payload.tobytes()

    def decode_chunk(self, data: bytes, first: int, grid: Grid, out: Int32s) -> None:  # noqa: ARG002
        """See ``Codec``."""
        expected = self.max_chunk_bytes(len(out))
        if len(data) != expected:
            raise PayloadFault("bad_length", f"{self.name} chunk of {len(data)} bytes, expected {expected}")
        split = len(out) * self.mantissa_bits // 8
        mantissas = np.frombuffer(data, _DTYPES[self.mantissa_bits], len(out))
        exponents = np.frombuffer(data, np.uint8, offset=split)
        aligned = np.require(mantissas, requirements=["C", "A"])
        bad = _decode_blocks(read_only(aligned), read_only(exponents), out, self.block, self.mantissa_bits - 1)
        if bad >= 0:
            raise PayloadFault(
                "bad_encoding",
                f"block {bad} of the {self.name} chunk at coordinate {first}, exponent {exponents[bad]}: "
                f"expected the one shortest form with an exponent of at most {31 - self.mantissa_bits}",
            )


@kernel
def _encode_blocks(
    update: Int32s, mantissas: npt.NDArray[Any], exponents: npt.NDArray[np.uint8], block: int, bits: int
) -> None:
    """Mantissas of ``bits`` bits and a sign; ``update`` becomes what decodes."""
    limit = np.int32((1 << bits) - 1)
    for b in range(len(exponents)):
        start = b * block
        stop = min(start + block, len(update))
        peak = np.int32(0)
        for i in range(start, stop):
            peak = max(peak, abs(update[i]))
        exponent = np.int32(0)
        while (peak >> exponent) > limit:
            exponent += np.int32(1)
        exponents[b] = exponent
        if exponent == 0:
            for i in range(start, stop):
                mantissas[i] = update[i]
            continue
        below_half = np.int32((1 << (exponent - 1)) - 1)
        for i in range(start, stop):
            value = update[i]
            # Half to even: add just under a half, and the lowest bit that stays.
            rounded = (value + below_half + ((value >> exponent) & np.int32(1))) >> exponent
            # Rounding up may reach 2^bits; it saturates, so that the result stays below 2^30.
            rounded = min(max(rounded, -limit), limit)
            mantissas[i] = rounded
            update[i] = rounded << exponent


@kernel
def _decode_blocks(
    mantissas: npt.NDArray[Any], exponents: npt.NDArray[np.uint8], out: Int32s, block: int, bits: int
) -> int:
    """Returns the first block that is not in its shortest form, or -1."""
    limit = np.int32((1 << bits) - 1)
    for b in range(len(exponents)):
        start = b * block
        stop = min(start + block, len(out))
        exponent = np.int32(exponents[b])
        if exponent > 30 - bits:
            return b
        peak = np.int32(0)
        for i in range(start, stop):
            value = np.int32(mantissas[i])
            peak = max(peak, abs(value))
            out[i] = value << exponent
        if peak > limit or (exponent > 0 and peak <= limit >> 1):
            return b
    return -1
