"""Generated tasks: a small classification to learn, and a vector of any size whose training is trivial."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from flobc.errors import UsageError
from flobc.learning.data.stratified import split_three_ways
from flobc.learning.task import (
    DataSource,
    Evaluation,
    Examples,
    ModelInfo,
    Splits,
    TensorInfo,
    TrainResult,
    TrainSettings,
    Vector,
)

if TYPE_CHECKING:
    from torch import nn

    from flobc.learning.torch_task import TorchTask


@dataclass(frozen=True)
class SyntheticOptions:
    """Sizes of a generated task; ``parameters`` > 0 asks for trivial training on such a vector.

    ``training_ms`` and ``scoring_ms`` are how long a trivial task waits, without a processor, in each ``train`` and
    ``evaluate``: work that takes the same time however many nodes share a machine.
    """

    examples: int = 2000
    features: int = 20
    classes: int = 4
    seed: int = 0
    parameters: int = 0
    training_ms: int = 0
    scoring_ms: int = 0

    def __post_init__(self) -> None:
        if self.examples < 10 or self.features < 1 or self.classes < 2 or self.parameters < 0:
            raise UsageError(
                "A synthetic task needs examples >= 10, features >= 1, classes >= 2 and parameters >= 0, "
                f"but got {self}."
            )
        waits = (self.training_ms, self.scoring_ms)
        if min(waits) < 0 or (any(waits) and not self.parameters):
            raise UsageError(
                "The synthetic options training_ms and scoring_ms count milliseconds of waiting from 0 on and go with "
                f"parameters, but got {self}; give parameters=20000, for one."
            )


def build_blobs(options: SyntheticOptions) -> Splits:
    """Generate one Gaussian cloud per class around seeded centres; 15 % for validation, 15 % for test."""
    rng = np.random.Generator(np.random.PCG64(options.seed))
    centres = rng.standard_normal((options.classes, options.features))
    labels = np.arange(options.examples, dtype=np.int64) % options.classes
    features = centres[labels] + rng.standard_normal((options.examples, options.features))
    part = options.examples * 15 // 100
    return split_three_ways(Examples(features.astype(np.float32), labels), part, part)


def build_synthetic_task(options: SyntheticOptions, name: str) -> TorchTask | TrivialTask:
    """Build the classification, or the trivial task if ``options.parameters`` is given."""
    if options.parameters:
        return TrivialTask(name, options)
    # torch takes seconds to load, and the trivial task does without it
    from flobc.learning.models import build_mlp  # noqa: PLC0415
    from flobc.learning.torch_task import TorchTask  # noqa: PLC0415

    def build_model() -> nn.Module:
        return build_mlp(options.features, (32,), options.classes)

    def load(source: DataSource) -> Splits:
        del source
        return build_blobs(options)

    return TorchTask(name, build_model, load, TrainSettings(learning_rate=0.1))


# How far one call to train goes towards the optimum, and how noisily.
_TRIVIAL_RATE = 0.1
_TRIVIAL_NOISE = 0.001
_BLOCK = 1024


@dataclass(frozen=True)
class TrivialTask:
    """A vector of any size that shrinks towards zero: measures everything around learning, not learning.

    ``train`` costs one pass over the vector, of which the first block gets noise; ``evaluate`` looks at that
    block of 1,024 values alone, which the others repeat but for the noise.
    """

    name: str
    options: SyntheticOptions
    default_settings: TrainSettings = field(default_factory=TrainSettings)

    def model_info(self) -> ModelInfo:
        """Return one tensor of ``parameters`` values."""
        return ModelInfo((TensorInfo("weights", (self.options.parameters,), "float32", "train"),))

    def initial_vector(self, seed: int) -> Vector:
        """Return values drawn from the standard normal distribution, repeated in blocks."""
        return self._draw_vector(seed)

    def load(self, source: DataSource) -> Splits:
        """Return generated examples, which only their number matters of."""
        del source
        return build_blobs(self.options)

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        """Go a tenth of the way to zero, with a little noise in the first block."""
        del settings
        time.sleep(self.options.training_ms / 1000)
        trained = np.float32(1.0 - _TRIVIAL_RATE) * vector
        noise = self._draw_block(seed)
        trained[: len(noise)] += np.float32(_TRIVIAL_NOISE) * noise
        return TrainResult(trained, len(examples), self._loss(vector))

    def evaluate(self, vector: Vector, examples: Examples) -> Evaluation:
        """Return the mean square of the first block as the loss and a falling function of it as the accuracy."""
        time.sleep(self.options.scoring_ms / 1000)
        loss = self._loss(vector)
        return Evaluation(loss, 1.0 / (1.0 + loss), len(examples))

    def _draw_vector(self, seed: int) -> Vector:
        return np.resize(self._draw_block(seed), self.options.parameters)

    def _draw_block(self, seed: int) -> Vector:
        rng = np.random.Generator(np.random.PCG64(seed))
        return rng.standard_normal(min(_BLOCK, self.options.parameters), dtype=np.float32)

    def _loss(self, vector: Vector) -> float:
        self.model_info().require_vector(vector)
        block = vector[:_BLOCK].astype(np.float64)
        return float(np.dot(block, block)) / len(block)
