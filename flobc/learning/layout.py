"""A task's model as consensus sees it: the spec in genesis, the grid that vectors lie on, the model's digest."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from flobc.learning.task import ModelInfo, TensorInfo
from flobc.numerics.fixed_point import INT32_MAX, INT32_MIN, Grid, Segment
from flobc.protocol.merkle import merkle_root
from flobc.protocol.params import ModelSpec, TensorSpec


def _bound(value: float | None, fraction_bits: int, default: int) -> int:
    if value is None:
        return default
    return max(INT32_MIN, min(INT32_MAX, math.floor(value * 2.0**fraction_bits + 0.5)))


def _build_tensor(tensor: TensorInfo) -> TensorSpec:
    return TensorSpec(
        name=tensor.name,
        shape=tensor.shape,
        dtype=tensor.dtype,
        kind=tensor.kind,
        fraction_bits=tensor.fraction_bits,
        lo=_bound(tensor.lo, tensor.fraction_bits, INT32_MIN),
        hi=_bound(tensor.hi, tensor.fraction_bits, INT32_MAX),
    )


def build_model_spec(info: ModelInfo, chunk_size: int) -> ModelSpec:
    """Return the model spec that genesis carries; ``chunk_size`` in coordinates."""
    return ModelSpec(tuple(_build_tensor(tensor) for tensor in info.tensors), info.size, chunk_size)


def build_grid(spec: ModelSpec) -> Grid:
    """Return the grid of the flat vector: every tensor that is not frozen, in order."""
    segments, start = [], 0
    for tensor in spec.tensors:
        size = math.prod(tensor.shape)
        if tensor.kind == "frozen" or not size:
            continue
        segments.append(Segment(start, start + size, tensor.fraction_bits, tensor.lo, tensor.hi))
        start += size
    return Grid(tuple(segments))


def compute_model_digest(model: NDArray[np.int32], chunk_size: int) -> bytes:
    """Return the model's Merkle root over its chunks as little-endian int32 bytes (AGG).

    **Shapes**: model (D,), int32.
    """
    data = np.ascontiguousarray(model, dtype="<i4").data.cast("B")
    width = 4 * chunk_size
    return merkle_root([data[start : start + width] for start in range(0, len(data), width)])
