"""Trainings of several trainers of one process, started together and computed in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from flobc.errors import NotHeld
from flobc.learning.many import train_many
from flobc.learning.task import Examples, TrainSettings
from flobc.ports.scheduler import Scheduler
from flobc.runtime.engine import LearningEngine, ModelView

Vector = NDArray[np.float32]
R = TypeVar("R")


@dataclass(frozen=True)
class Training:
    """What one local training is made of; it begins with ``start``, or else with the certified ``model`` itself."""

    model: bytes
    start: Vector | None
    shard: Examples
    settings: TrainSettings
    seed: int


class Trainings(Protocol):
    """Where a trainer leaves a training that others' may be computed with."""

    def add(
        self, training: Training, finish: Callable[[ModelView, Vector], R], done: Callable[[R | None], None]
    ) -> None:
        """Take a training on; see ``JointTraining.add``."""
        ...


def train_jointly(
    engine: LearningEngine, trainings: Sequence[Training], finishes: Sequence[Callable[[ModelView, Vector], R]]
) -> list[R | None]:
    """Return what each ``finish`` makes of its training; all are of one model and alike settings.

    None for each when no store holds the model any more.
    """
    try:
        view = engine.get_view(trainings[0].model)
    except NotHeld:  # the chain has gone on, and nobody trains from this model any more
        return [None] * len(trainings)
    found = train_many(
        engine.task,
        [view.vector if training.start is None else training.start for training in trainings],
        [training.shard for training in trainings],
        trainings[0].settings,
        [training.seed for training in trainings],
    )
    return [finish(view, result.vector) for finish, result in zip(finishes, found, strict=True)]


@dataclass(frozen=True)
class _Waiting(Generic[R]):
    training: Training
    finish: Callable[[ModelView, Vector], R]
    done: Callable[[R | None], None]


class JointTraining:
    """Gathers the trainings that nodes start within one step of the loop and submits one job for each model.

    All its methods run on the scheduler's loop.
    """

    def __init__(self, engine: LearningEngine, scheduler: Scheduler) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._waiting: list[_Waiting[Any]] = []

    def add(
        self, training: Training, finish: Callable[[ModelView, Vector], R], done: Callable[[R | None], None]
    ) -> None:
        """Let a training begin with the next ``start``.

        ``finish`` makes its result on the worker, from the model and the trained vector; ``done`` gets it on the loop,
        or None when no store holds the model any more.
        """
        self._waiting.append(_Waiting(training, finish, done))

    def start(self) -> None:
        """Begin whatever was added since the last time, trainings of one model and alike settings together."""
        groups: dict[tuple[bytes, TrainSettings], list[_Waiting[Any]]] = {}
        for item in self._waiting:
            groups.setdefault((item.training.model, item.training.settings), []).append(item)
        self._waiting = []
        for group in groups.values():
            self._submit(group)

    def _submit(self, group: list[_Waiting[Any]]) -> None:
        def hand_out(results: list[Any]) -> None:
            for item, result in zip(group, results, strict=True):
                item.done(result)

        self._scheduler.submit("train", lambda: self._train(group), 0, hand_out)

    def _train(self, group: list[_Waiting[R]]) -> list[R | None]:
        return train_jointly(self._engine, [item.training for item in group], [item.finish for item in group])
