"""Softmax regression by plain numpy: a task needs no torch. Try it with --task examples.numpy_task:task."""

from __future__ import annotations

import numpy as np

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

FEATURES, CLASSES = 2, 3


class SoftmaxRegression:
    """Three clouds of points in the plane, told apart by a linear model."""

    name = "numpy-softmax"
    default_settings = TrainSettings(learning_rate=0.5, epochs=5)

    def model_info(self) -> ModelInfo:
        """Return the weights and the bias; the flat vector holds them in this order."""
        weights = TensorInfo("weights", (FEATURES, CLASSES), "float32", "train")
        return ModelInfo((weights, TensorInfo("bias", (CLASSES,), "float32", "train")))

    def initial_vector(self, seed: int) -> Vector:
        """Return small random values."""
        rng = np.random.default_rng(seed)
        return 0.01 * rng.standard_normal(self.model_info().size, dtype=np.float32)

    def load(self, source: DataSource) -> Splits:
        """Generate 600 points; a real task would read them from ``source.directory``."""
        del source
        rng = np.random.default_rng(7)
        labels = np.arange(600) % CLASSES
        centres = np.array([[0.0, 3.0], [3.0, -2.0], [-3.0, -2.0]])
        points = centres[labels] + rng.standard_normal((600, FEATURES))
        return split_three_ways(Examples(points.astype(np.float32), labels), validation=150, test=150)

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        """Descend the gradient of the cross-entropy, batch by batch."""
        rng = np.random.default_rng(seed)
        vector = vector.copy()
        for _ in range(settings.epochs or 1):
            order = rng.permutation(len(examples))
            for start in range(0, len(order), settings.batch_size):
                batch = examples[order[start : start + settings.batch_size]]
                errors = _predict(vector, batch.features)
                errors[np.arange(len(batch)), batch.labels] -= 1.0
                gradient = np.concatenate([(batch.features.T @ errors).ravel(), errors.sum(axis=0)])
                vector -= np.float32(settings.learning_rate / len(batch)) * gradient
        return TrainResult(vector, len(examples), self.evaluate(vector, examples).loss)

    def evaluate(self, vector: Vector, examples: Examples) -> Evaluation:
        """Return the mean cross-entropy and the share of right answers."""
        shares = _predict(vector, examples.features)
        right = shares[np.arange(len(examples)), examples.labels]
        accuracy = float(np.mean(shares.argmax(axis=1) == examples.labels))
        return Evaluation(float(-np.log(np.maximum(right, 1e-12)).mean()), accuracy, len(examples))


def _predict(vector: Vector, features: Vector) -> Vector:
    weights = vector[: FEATURES * CLASSES].reshape(FEATURES, CLASSES)
    logits = features @ weights + vector[FEATURES * CLASSES :]
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    shares: Vector = powers / powers.sum(axis=1, keepdims=True)
    return shares


task = SoftmaxRegression()
