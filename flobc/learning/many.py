"""Several models of one task at once, where the task can: a capability that no task needs to have."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, runtime_checkable

from flobc.errors import UsageError
from flobc.learning.task import Evaluation, Examples, Task, TrainResult, TrainSettings, Vector


@runtime_checkable
class ManyTask(Protocol):
    """What a task may offer beside :class:`~flobc.learning.task.Task`: the same results, up to rounding, for many."""

    def prefers_many(self, examples: Examples) -> bool:
        """Return whether one pass over several models on examples like these is quicker than one after the other."""

    def train_many(
        self, vectors: Sequence[Vector], shards: Sequence[Examples], settings: TrainSettings, seeds: Sequence[int]
    ) -> list[TrainResult]:
        """Train each vector on its own shard, with its own seed."""

    def evaluate_many(self, vectors: Sequence[Vector], examples: Examples) -> list[Evaluation]:
        """Score each vector on the same examples."""


def prefers_many(task: Task, examples: Examples) -> bool:
    """Return whether ``task`` is quicker with several models at once; False for one that knows only one."""
    return isinstance(task, ManyTask) and task.prefers_many(examples)


def train_many(
    task: Task, vectors: Sequence[Vector], shards: Sequence[Examples], settings: TrainSettings, seeds: Sequence[int]
) -> list[TrainResult]:
    """Train each vector on its own shard: at once where the task can, else one after the other.

    **Raises**: :class:`UsageError` unless there are as many vectors as shards and seeds.
    """
    if not len(vectors) == len(shards) == len(seeds):
        raise UsageError(
            f"Each model needs a shard and a seed, but there are {len(vectors)} models, {len(shards)} shards and "
            f"{len(seeds)} seeds; give as many of each."
        )
    if isinstance(task, ManyTask):
        return task.train_many(vectors, shards, settings, seeds)
    return [
        task.train(vector, examples, settings, seed)
        for vector, examples, seed in zip(vectors, shards, seeds, strict=True)
    ]


def evaluate_many(task: Task, vectors: Sequence[Vector], examples: Examples) -> list[Evaluation]:
    """Score each vector on the same examples: at once where the task can, else one after the other."""
    if isinstance(task, ManyTask):
        return task.evaluate_many(vectors, examples)
    return [task.evaluate(vector, examples) for vector in vectors]
