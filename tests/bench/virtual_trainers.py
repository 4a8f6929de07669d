"""What both simulations train: the same model, shards, settings and code, one client at a time.

The peer's processes import this too: torch and what else is not theirs comes from the project's environment, whose
packages come last on their path.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import sys
from typing import Any

PACKAGES = "FLOBC_BENCH_PACKAGES"
TASK = "synthetic:examples=20000,features=64,classes=10"
SHARDING = "dirichlet:0.5"
BATCH_SIZE, EPOCHS = 8, 5
TRAINERS, ROUNDS = 1_000, 20


@functools.cache
def open_world(trainers: int) -> tuple[Any, Any, list[Any]]:
    """Return task, training examples and each trainer's indices; made once a process."""
    packages = os.environ.get(PACKAGES)
    if packages and packages not in sys.path:
        sys.path.append(packages)
    import torch  # noqa: PLC0415  only where the path leads to it

    from flobc.learning.shards import assign_indices, parse_scheme  # noqa: PLC0415
    from flobc.learning.task import DataSource  # noqa: PLC0415
    from flobc.learning.tasks import get_task  # noqa: PLC0415

    torch.set_num_threads(1)
    task = get_task(TASK)
    train = task.load(DataSource()).train
    return task, train, assign_indices(train.labels, trainers, parse_scheme(SHARDING), seed=1)


def get_initial(trainers: int) -> Any:
    """Return the untrained model."""
    return open_world(trainers)[0].initial_vector(0)


def train_client(weights: Any, client: int, trainers: int, seed: int) -> tuple[Any, int]:
    """Return the vector after one client's local training, and how many examples it has."""
    task, train, indices = open_world(trainers)
    settings = dataclasses.replace(task.default_settings, batch_size=BATCH_SIZE, epochs=EPOCHS)
    shard = train[indices[client]]
    return task.train(weights, shard, settings, seed).vector, len(shard)


def measure_accuracy(weights: Any, trainers: int) -> float:
    """Return the share of right answers on all training examples."""
    task, train, _ = open_world(trainers)
    return float(task.evaluate(weights, train).accuracy)
