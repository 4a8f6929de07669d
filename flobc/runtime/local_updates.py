"""From a model to an encoded update: all of a local training but its signature.

Nothing here knows a key or a chain's state, so it can be done in another process (:mod:`flobc.runtime.processes`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from flobc.errors import PayloadFault
from flobc.learning.layout import build_grid
from flobc.learning.many import train_many
from flobc.learning.task import Examples, Task, TrainSettings
from flobc.numerics.codecs import EncodedUpdate, chunk_bounds, encode_update, get_codec
from flobc.numerics.fixed_point import Grid
from flobc.protocol.merkle import leaf_hash, root_of_hashes
from flobc.protocol.params import Genesis

Vector = NDArray[np.float32]
Model = NDArray[np.int32]


@dataclass(frozen=True)
class ModelView:
    """A certified model: the integers that are the truth, and the float32 view to train and score with."""

    model: Model
    vector: Vector


@dataclass(frozen=True)
class UpdateCoding:
    """How updates of one chain are encoded, and how far a candidate follows one (ROUND-6)."""

    grid: Grid
    codec: str
    chunk_size: int
    probe_shift: int

    @classmethod
    def of(cls, genesis: Genesis) -> UpdateCoding:
        """Return what the genesis says."""
        spec, params = genesis.model, genesis.params
        return cls(build_grid(spec), params.codec, spec.chunk_size, params.scoring.probe_shift)


@dataclass(frozen=True)
class LocalUpdate:
    """An encoded update and the Merkle root of its chunks; ``candidate`` is what receivers will score, if asked for."""

    encoded: EncodedUpdate
    root: bytes
    candidate: Vector | None = None


@dataclass(frozen=True)
class Training:
    """What one local training is made of; it begins with ``start``, or else with the certified ``model`` itself.

    Where it ``encodes``, the result becomes an update with ``residual``, and with its candidate where it is ``ahead``
    of who receives it.
    """

    model: bytes
    start: Vector | None
    shard: Examples
    settings: TrainSettings
    seed: int
    encodes: bool = False
    residual: Vector | None = None
    ahead: bool = False

    def get_start(self, base: ModelView) -> Vector:
        """Return the vector that it begins with; ``base`` is its certified model. **Shapes**: (D,)."""
        return base.vector if self.start is None else self.start


@dataclass(frozen=True)
class TrainedUpdate:
    """A trained vector and its update; None where none was asked for, or no codec can express it."""

    vector: Vector
    update: LocalUpdate | None


@runtime_checkable
class UpdateTask(Protocol):
    """What a task may offer beside :class:`~flobc.learning.task.Task`: to train and encode elsewhere."""

    def train_updates(
        self, coding: UpdateCoding, base: ModelView, trainings: Sequence[Training]
    ) -> list[TrainedUpdate]:
        """As the function ``train_updates``."""


def train_updates(
    task: Task, coding: UpdateCoding, base: ModelView, trainings: Sequence[Training]
) -> list[TrainedUpdate]:
    """Return what becomes of trainings from one model with alike settings."""
    if isinstance(task, UpdateTask):
        return task.train_updates(coding, base, trainings)
    found = train_many(
        task,
        [training.get_start(base) for training in trainings],
        [training.shard for training in trainings],
        trainings[0].settings,
        [training.seed for training in trainings],
    )
    return [
        finish_training(coding, base, training, result.vector)
        for training, result in zip(trainings, found, strict=True)
    ]


def finish_training(coding: UpdateCoding, base: ModelView, training: Training, vector: Vector) -> TrainedUpdate:
    """Return a trained vector with its update, if the training encodes and a codec can express it."""
    if not training.encodes:
        return TrainedUpdate(vector, None)
    try:
        made = make_update(coding, base, vector, base.vector, training.residual, ahead=training.ahead)
    except PayloadFault:
        return TrainedUpdate(vector, None)
    return TrainedUpdate(vector, made)


def make_update(
    coding: UpdateCoding,
    base: ModelView,
    vector: Vector,
    subtracted: Vector | None,
    residual: Vector | None,
    *,
    ahead: bool,
) -> LocalUpdate:
    """Return ``vector`` less ``subtracted`` as an encoded update to ``base``, with its candidate where it is ``ahead``.

    **Raises** PayloadFault: the codec cannot express it.
    """
    encoded = encode_update(
        vector,
        coding.grid,
        coding.codec,
        coding.chunk_size,
        base=subtracted,
        residual=residual,
        digest=leaf_hash,
        keep_decoded=ahead,
    )
    candidate = build_candidate(coding, base, encoded.decoded) if ahead else None
    return LocalUpdate(encoded, root_of_hashes(encoded.digests), candidate)


def make_garbage(coding: UpdateCoding) -> LocalUpdate:
    """Return what an attacker sends whose update no codec can express: chunks of ones, validly signed."""
    codec = get_codec(coding.codec)
    bounds = chunk_bounds(coding.grid.size, coding.chunk_size)
    chunks = tuple(b"\xff" * codec.max_chunk_bytes(stop - start) for start, stop in bounds)
    digests = tuple(leaf_hash(chunk) for chunk in chunks)
    return LocalUpdate(EncodedUpdate(chunks, 0, None, digests), root_of_hashes(digests))


def build_candidate(coding: UpdateCoding, base: ModelView, update: Model | None) -> Vector:
    """Return base + probed update, the model that is scored (ROUND-6). **Shapes**: (D,)."""
    return coding.grid.candidate(base.model, update, shift=coding.probe_shift)
