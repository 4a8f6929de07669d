"""A task whose updates come in many chunks, and whose scoring a test can hold where it is."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from flobc.adapters.kafka import writer
from flobc.learning.task import Evaluation, Examples, ModelInfo, TensorInfo, TrainResult, TrainSettings, Vector
from tests.support.paced_task import TRAINING_S, PacedRegression

GATES = "FLOBC_TEST_GATES"
"""Names the folder with the gates, in the environment that services inherit from a test."""
BALLAST = 40_000
"""So many coordinates that nothing depends on: what makes an update as long as a real model's."""
_POLL_S = 0.01
_REQUEST_BYTES = 20_000

if GATES in os.environ:  # in a service: an update takes several requests, so that it can be killed between two
    writer._BATCH_BYTES = _REQUEST_BYTES


class GatedRegression(PacedRegression):
    """Softmax regression with ballast; its evaluation waits at the gate of the process that asked for it."""

    def model_info(self) -> ModelInfo:
        small = super().model_info().tensors
        return ModelInfo((*small, TensorInfo("ballast", (BALLAST,), "float32", "train")))

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        result = super().train(vector[:-BALLAST], examples, settings, seed)
        noise = 1e-4 * np.random.default_rng(seed).standard_normal(BALLAST, dtype=np.float32)
        return TrainResult(np.concatenate([result.vector, vector[-BALLAST:] + noise]), result.examples, result.loss)

    def evaluate(self, vector: Vector, examples: Examples) -> Evaluation:
        _wait_at_gate()
        return super().evaluate(vector[:-BALLAST] if len(vector) > BALLAST else vector, examples)


task = GatedRegression("tests.support.gated_task:task", TRAINING_S)


def _wait_at_gate() -> None:
    folder = os.environ.get(GATES)
    if folder is None:
        return
    gate, sign = Path(folder, f"gate-{os.getppid()}"), Path(folder, f"waiting-{os.getpid()}")
    while gate.exists():
        sign.touch()
        time.sleep(_POLL_S)
    sign.unlink(missing_ok=True)


@contextmanager
def closed_gate(folder: Path, parent: int) -> Iterator[None]:
    """Hold what the scoring processes of ``parent`` evaluate."""
    gate = folder / f"gate-{parent}"
    gate.touch()
    try:
        yield
    finally:
        gate.unlink()


def list_waiting(folder: Path) -> list[int]:
    """The numbers of the processes that have come to a closed gate."""
    return [int(path.name.removeprefix("waiting-")) for path in folder.glob("waiting-*")]
