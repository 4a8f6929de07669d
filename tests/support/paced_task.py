"""The example's numpy task at a pace that leaves a small machine time for everything else."""

from __future__ import annotations

import time

from examples.numpy_task import SoftmaxRegression
from flobc.learning.task import Examples, TrainResult, TrainSettings, Vector

TRAINING_S = 0.3
QUICK_S = 0.1
"""For tests that need many rounds."""


class PacedRegression(SoftmaxRegression):
    """Softmax regression whose training takes its time without using the processor."""

    def __init__(self, name: str, training_s: float) -> None:
        self.name = name
        self._training_s = training_s

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        time.sleep(self._training_s)
        return super().train(vector, examples, settings, seed)


task = PacedRegression("tests.support.paced_task:task", TRAINING_S)
quick = PacedRegression("tests.support.paced_task:quick", QUICK_S)
