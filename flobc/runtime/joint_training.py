"""Trainings of several trainers of one process, started together and computed in one pass."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Protocol, TypeVar

from flobc.errors import NotHeld
from flobc.learning.task import TrainSettings
from flobc.ports.scheduler import Scheduler
from flobc.runtime.engine import LearningEngine
from flobc.runtime.local_updates import ModelView, TrainedUpdate, Training

R = TypeVar("R")
Finish = Callable[[ModelView, TrainedUpdate], R]
"""What a trainer makes, on the worker, of the model and of what was trained from it."""


class Trainings(Protocol):
    """Where a trainer leaves a training that others' may be computed with."""

    def add(self, training: Training, finish: Finish[R], done: Callable[[R | None], None]) -> None:
        """Take a training on; see ``JointTraining.add``."""
        ...


def train_jointly(
    engine: LearningEngine, trainings: Sequence[Training], finishes: Sequence[Finish[R]]
) -> list[R | None]:
    """Return what each ``finish`` makes of its training; all are of one model and alike settings.

    None for each when no store holds the model any more.
    """
    try:
        view, found = engine.train_updates(trainings[0].model, trainings)
    except NotHeld:  # the chain has gone on, and nobody trains from this model any more
        return [None] * len(trainings)
    return [finish(view, trained) for finish, trained in zip(finishes, found, strict=True)]


@dataclass(frozen=True)
class _Waiting(Generic[R]):
    training: Training
    finish: Finish[R]
    done: Callable[[R | None], None]


class JointTraining:
    """Gathers the trainings that nodes start within one step of the loop and submits one job for each model.

    All its methods run on the scheduler's loop.
    """

    def __init__(self, engine: LearningEngine, scheduler: Scheduler) -> None:
        self._engine = engine
        self._scheduler = scheduler
        self._waiting: list[_Waiting[Any]] = []

    def add(self, training: Training, finish: Finish[R], done: Callable[[R | None], None]) -> None:
        """Let a training begin with the next ``start``.

        ``finish`` makes its result on the worker, from the model and what was trained; ``done`` gets it on the loop,
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
