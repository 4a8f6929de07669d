"""A task's model as consensus sees it: the spec in genesis, the grid that vectors lie on, the model's digest."""

from __future__ import annotations

import math

from flobc.learning.task import ModelInfo, TensorInfo
from flobc.numerics.fixed_point import INT32_MAX, INT32_MIN, Grid, Segment
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


def list_places(spec: ModelSpec) -> list[tuple[TensorSpec, int, int]]:
    """Return every tensor that is not frozen with its coordinates [start, stop) in the flat vector, in order."""
    places, start = [], 0
    for tensor in spec.tensors:
        if tensor.kind != "frozen":
            stop = start + math.prod(tensor.shape)
            places.append((tensor, start, stop))
            start = stop
    return places


def build_grid(spec: ModelSpec) -> Grid:
    """Return the grid of the flat vector."""
    return Grid(
        tuple(
            Segment(start, stop, tensor.fraction_bits, tensor.lo, tensor.hi)
            for tensor, start, stop in list_places(spec)
            if stop > start
        )
    )
