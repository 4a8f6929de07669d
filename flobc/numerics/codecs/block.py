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
        mantissas, exponents = self._split(payload, len(update))
        for part, blocks in self._rows(len(update)):
            shape = (blocks.stop - blocks.start, -1)
            _encode_blocks(
                update[part].reshape(shape),
                mantissas[part].reshape(shape),
                exponents[blocks],
                self.mantissa_bits - 1,
            )
        return payload.tobytes()

    def decode_chunk(self, data: bytes, first: int, grid: Grid, out: Int32s) -> None:  # noqa: ARG002
        """See ``Codec``."""
        expected = self.max_chunk_bytes(len(out))
        if len(data) != expected:
            raise PayloadFault("bad_length", f"{self.name} chunk of {len(data)} bytes, expected {expected}")
        mantissas, exponents = self._split(np.frombuffer(data, np.uint8), len(out))
        aligned = np.require(mantissas, requirements=["C", "A"])
        for part, blocks in self._rows(len(out)):
            shape = (blocks.stop - blocks.start, -1)
            values, scales = read_only(aligned[part].reshape(shape)), read_only(exponents[blocks])
            bad = _decode_blocks(values, scales, out[part].reshape(shape), self.mantissa_bits - 1)
            if bad >= 0:
                raise PayloadFault(
                    "bad_encoding",
                    f"block {blocks.start + bad} of the {self.name} chunk at coordinate {first}, exponent "
                    f"{scales[bad]}: expected the one shortest form with an exponent of at most "
                    f"{31 - self.mantissa_bits}",
                )

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


@kernel
def _encode_blocks(update: Int32s, mantissas: npt.NDArray[Any], exponents: npt.NDArray[np.uint8], bits: int) -> None:
    """Mantissas of ``bits`` bits and a sign for ``update`` (int32[blocks, n]), which becomes what decodes."""
    limit = np.int32((1 << bits) - 1)
    for b in range(len(exponents)):
        values, into = update[b], mantissas[b]
        peak = np.int32(0)
        for i in range(len(values)):
            peak = max(peak, abs(values[i]))
        exponent = 0
        while (peak >> exponent) >> bits > 0:
            exponent += 1
        exponents[b] = exponent
        if exponent == 0:
            for i in range(len(values)):
                into[i] = values[i]
            continue
        shift = np.int32(exponent)
        below_half = np.int32((1 << (exponent - 1)) - 1)
        for i in range(len(values)):
            # Half to even: an odd floor is one more away from the half. Values are below 2^30, so nothing
            # overflows. Rounding up may reach 2^bits; it saturates, so that the result stays below 2^30.
            odd = (values[i] >> shift) & np.int32(1)
            rounded = (values[i] + below_half + odd) >> shift
            rounded = min(max(rounded, -limit), limit)
            into[i] = rounded
            values[i] = rounded << shift


@kernel
def _decode_blocks(mantissas: npt.NDArray[Any], exponents: npt.NDArray[np.uint8], out: Int32s, bits: int) -> int:
    """Returns the first block that is not in its shortest form, or -1."""
    limit = np.int32((1 << bits) - 1)
    for b in range(len(exponents)):
        values, into = mantissas[b], out[b]
        exponent = np.int32(exponents[b])
        if exponent > 30 - bits:
            return b
        peak = np.int32(0)
        for i in range(len(values)):
            value = np.int32(values[i])
            peak = max(peak, abs(value))
            into[i] = value << exponent
        if peak > limit or (exponent > 0 and peak <= limit >> 1):
            return b
    return -1
