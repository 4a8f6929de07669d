"""What a learning task is: one object that knows a model, its data and how to train and score it.

The interface works on flat float32 vectors, so a task may be written with any library. FLoBC asks
for nothing else: whatever implements :class:`Task` can be trained by a federation.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from math import prod
from pathlib import Path
from typing import Any, Literal, Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from flobc.errors import DataError, UsageError
from flobc.protocol.params import TensorKind

Vector = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]

OptimizerName = Literal["sgd", "adam"]


@dataclass(frozen=True)
class TensorInfo:
    """One named tensor of a model.

    ``train`` tensors are learnt, ``buffer`` tensors are aggregated too but clamped to
    ``[lo, hi]`` (running statistics), ``frozen`` tensors are listed and never move.
    ``fraction_bits`` is the resolution of the fixed-point grid the chain keeps the tensor on.
    """

    name: str
    shape: tuple[int, ...]
    dtype: str
    kind: TensorKind
    fraction_bits: int = 24
    lo: float | None = None
    hi: float | None = None

    @property
    def size(self) -> int:
        """Number of elements."""
        return prod(self.shape)


@dataclass(frozen=True)
class ModelInfo:
    """The tensors of a model; those that are not ``frozen`` make the flat vector, in this order."""

    tensors: tuple[TensorInfo, ...]

    @cached_property
    def size(self) -> int:
        """Length of the flat vector."""
        return sum(tensor.size for tensor in self.tensors if tensor.kind != "frozen")

    @cached_property
    def layout(self) -> tuple[tuple[TensorInfo, int, int], ...]:
        """Each tensor of the vector with its place ``[start, stop)``."""
        places = []
        start = 0
        for tensor in self.tensors:
            if tensor.kind != "frozen":
                places.append((tensor, start, start + tensor.size))
                start += tensor.size
        return tuple(places)

    def require_vector(self, vector: Vector) -> None:
        """Raise :class:`UsageError` unless ``vector`` is a float32 vector of this model."""
        if vector.dtype != np.float32 or vector.shape != (self.size,):
            raise UsageError(
                f"This model is a float32 vector of {self.size} values, but a {vector.dtype} array of shape "
                f"{vector.shape} was given; train with the task that made the chain."
            )


@dataclass(frozen=True, eq=False)
class Examples:
    """Labelled examples.

    **Shapes**: ``features`` (N, ...) and ``labels`` (N,) or (N, ...).
    """

    features: npt.NDArray[Any]
    labels: npt.NDArray[Any]

    def __post_init__(self) -> None:
        if len(self.features) != len(self.labels):
            raise DataError(
                f"Every example needs one label, but there are {len(self.features)} examples "
                f"and {len(self.labels)} labels; check the data."
            )

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, indices: Indices | slice) -> Examples:
        return Examples(self.features[indices], self.labels[indices])

    def digest(self) -> str:
        """SHA-256, in hex, of both arrays with their dtypes and shapes."""
        found = hashlib.sha256()
        for array in (self.features, self.labels):
            found.update(f"{array.dtype.str}{array.shape}".encode())
            found.update(np.ascontiguousarray(array).data)
        return found.hexdigest()


@dataclass(frozen=True, eq=False)
class Splits:
    """Disjoint parts: trainers share ``train``, validators ``validation``; ``test`` is for people."""

    train: Examples
    validation: Examples
    test: Examples


@dataclass(frozen=True)
class Evaluation:
    """Mean loss and share of right answers over ``examples`` examples.

    The loss is at least 0 and may be NaN; validators count one below 0 as 0 (ROUND-6).
    """

    loss: float
    accuracy: float
    examples: int


@dataclass(frozen=True, eq=False)
class TrainResult:
    """The trained vector, how many examples it saw and their mean loss while training."""

    vector: Vector
    examples: int
    loss: float


@dataclass(frozen=True)
class TrainSettings:
    """How a trainer trains locally: either ``epochs`` passes or ``steps`` batches.

    ``proximal_mu`` pulls towards the received model. **Source**: FedProx, Li et al. 2020, eq. 2.
    """

    optimizer: OptimizerName = "sgd"
    learning_rate: float = 0.1
    momentum: float = 0.0
    batch_size: int = 32
    epochs: int | None = 1
    steps: int | None = None
    proximal_mu: float = 0.0
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        if self.optimizer not in ("sgd", "adam"):
            raise UsageError(f"The optimizer must be sgd or adam, not {self.optimizer!r}.")
        if (self.epochs is None) == (self.steps is None):
            raise UsageError(f"Give either epochs or steps, not epochs={self.epochs} with steps={self.steps}.")
        for name in ("epochs", "steps", "batch_size"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} must be at least 1, not {value}.")
        if not self.learning_rate > 0:
            raise UsageError(f"learning_rate must be above 0, not {self.learning_rate}.")
        for name in ("momentum", "proximal_mu", "weight_decay"):
            if not getattr(self, name) >= 0:
                raise UsageError(f"{name} must not be negative, but is {getattr(self, name)}.")


@dataclass(frozen=True)
class DataSource:
    """Where a task finds its data: a directory of data sets, and the seed of whatever it draws."""

    directory: Path | None = None
    seed: int = 0


@runtime_checkable
class Task(Protocol):
    """A model, its data, its training and its evaluation.

    Every method is a pure function of its arguments (the same bytes in, the same bytes out), may be
    called from several threads at once, and never changes an array it was given.
    """

    @property
    def name(self) -> str:
        """Short name, shown to people and kept in genesis."""

    @property
    def default_settings(self) -> TrainSettings:
        """Settings that train this task well when nobody says otherwise."""

    def model_info(self) -> ModelInfo:
        """Return the tensors of the model."""

    def initial_vector(self, seed: int) -> Vector:
        """Return the untrained model, drawn from ``seed``."""

    def load(self, source: DataSource) -> Splits:
        """Return the data set; raises :class:`DataError` when it is not there or malformed."""

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        """Train from ``vector`` on ``examples``; ``seed`` orders the batches."""

    def evaluate(self, vector: Vector, examples: Examples) -> Evaluation:
        """Score ``vector`` on ``examples``."""
