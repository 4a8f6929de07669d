"""The example's numpy task at a pace that leaves a small machine time for everything else."""

from __future__ import annotations

import time

from examples.numpy_task import SoftmaxRegression
from flobc.learning.task import Examples, TrainResult, TrainSettings, Vector

TRAINING_S = 0.3


class PacedRegression(SoftmaxRegression):
    """Softmax regression whose training takes its time without using the processor."""

    name = "tests.support.paced_task:task"

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        time.sleep(TRAINING_S)
        return super().train(vector, examples, settings, seed)


task = PacedRegression()
