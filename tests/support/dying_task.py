"""The numpy task, where training fails or kills its process: an experiment must bear both."""

from __future__ import annotations

import os

from examples.numpy_task import SoftmaxRegression
from flobc.learning.task import Examples, TrainResult, TrainSettings, Vector

EXIT_CODE = 7


class Dying(SoftmaxRegression):
    name = "dying"

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        os._exit(EXIT_CODE)


class Failing(SoftmaxRegression):
    name = "failing"

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        raise ZeroDivisionError("this task fails")


dying = Dying()
failing = Failing()
