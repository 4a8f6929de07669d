"""Virtual trainings: each result arrives at its own time, but many are computed in one pass."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from flobc.learning.task import TrainSettings
from flobc.ports.scheduler import Scheduler
from flobc.runtime.engine import LearningEngine
from flobc.runtime.joint_training import Finish, train_jointly
from flobc.runtime.local_updates import Training

R = TypeVar("R")

MAX_BLOCK_FLOATS = 1 << 25
"""How many numbers the trained vectors hold at most that wait: 128 MiB, and up to three times that of their updates."""
MAX_PASS_FLOATS = 1 << 20
"""How many numbers the models of one pass have together: beyond, a step no longer fits the cache."""
MAX_PASS = 256


@dataclass(frozen=True)
class _Waiting:
    training: Training
    due_ms: int
    finish: Finish[Any]
    done: Callable[[Any], None]
    is_wanted: Callable[[], bool]


@dataclass
class _Gathering:
    """What waits in a group, and when it is looked at next."""

    waiting: list[_Waiting] = field(default_factory=list)
    planned_ms: int = -1


_Group = tuple[bytes, TrainSettings]


class TrainingPool:
    """Gathers trainings from one model until the first of them is due; all its methods run on the world's loop.

    What is computed together depends on virtual times alone, so it is the same on any number of threads.
    """

    def __init__(self, engine: LearningEngine, clock: Scheduler) -> None:
        self._engine = engine
        self._clock = clock
        self._groups: dict[_Group, _Gathering] = {}
        size = max(1, engine.genesis.model.size)
        self._pass_size = min(MAX_PASS, max(2, MAX_PASS_FLOATS // size))
        self._block_size = max(self._pass_size, MAX_BLOCK_FLOATS // size)

    def add(
        self,
        training: Training,
        duration_ms: int,
        finish: Finish[R],
        done: Callable[[R | None], None],
        is_wanted: Callable[[], bool],
    ) -> None:
        """Take a training on; ``done`` gets its result after ``duration_ms`` if ``is_wanted`` still says so then."""
        group = (training.model, training.settings)
        item = _Waiting(training, self._clock.now_ms + duration_ms, finish, done, is_wanted)
        gathering = self._groups.setdefault(group, _Gathering())
        gathering.waiting.append(item)
        if gathering.planned_ms < 0 or item.due_ms < gathering.planned_ms:
            self._plan(group, item.due_ms)

    def _plan(self, group: _Group, due_ms: int) -> None:
        now_ms = self._clock.now_ms
        self._groups[group].planned_ms = max(now_ms, due_ms)
        self._clock.call_later(max(0, due_ms - now_ms), lambda: self._begin(group))

    def _begin(self, group: _Group) -> None:
        """Compute what waits in a group if something of it is due: block by block, so that memory is bounded."""
        gathering, now_ms = self._groups.get(group), self._clock.now_ms
        if gathering is None or gathering.planned_ms != now_ms:
            return
        waiting = [item for item in gathering.waiting if item.is_wanted()]
        waiting.sort(key=lambda item: item.due_ms)  # stable: ties in the order in which they were added
        block: list[_Waiting] = []
        if waiting and waiting[0].due_ms <= now_ms:
            block, waiting = waiting[: self._block_size], waiting[self._block_size :]
        gathering.waiting = waiting
        if waiting:
            self._plan(group, waiting[0].due_ms)
        else:
            del self._groups[group]
        # Alike shards go together: in one pass all models take as many steps as the longest.
        block.sort(key=lambda item: len(item.training.shard))
        for start in range(0, len(block), self._pass_size):
            self._submit(block[start : start + self._pass_size])

    def _submit(self, items: list[_Waiting]) -> None:
        trainings, finishes = [item.training for item in items], [item.finish for item in items]
        first_ms = min(item.due_ms for item in items)

        def hand_out(results: list[Any]) -> None:
            for item, result in zip(items, results, strict=True):
                delay_ms = item.due_ms - self._clock.now_ms
                self._clock.call_later(max(0, delay_ms), functools.partial(_give, item, result))

        self._clock.submit(
            "train",
            lambda: train_jointly(self._engine, trainings, finishes),
            first_ms - self._clock.now_ms,
            hand_out,
        )


def _give(item: _Waiting, result: Any) -> None:
    if item.is_wanted():
        item.done(result)
