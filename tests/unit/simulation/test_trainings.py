"""Trainings from one model are computed in one pass, and each result arrives at its own time."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from types import SimpleNamespace

import numpy as np
import pytest

from examples.numpy_task import SoftmaxRegression, task
from flobc.composition.genesis import build_federation
from flobc.composition.stores import build_memory_stores
from flobc.learning.task import DataSource, Examples, TrainResult, TrainSettings, Vector
from flobc.runtime.engine import LearningEngine
from flobc.runtime.local_updates import TrainedUpdate, Training
from flobc.simulation import trainings
from flobc.simulation.clocks import WorldClock
from flobc.simulation.trainings import TrainingPool
from tests.support.embedded import build_settings

SHARD = task.load(DataSource()).train[np.arange(20)]
SETTINGS = task.default_settings


class ManySoftmax(SoftmaxRegression):
    """Trains many one after the other, and notes how many it was given at once."""

    def __init__(self) -> None:
        self.passes: list[int] = []

    def prefers_many(self, examples: Examples) -> bool:
        return True

    def train_many(
        self, vectors: Sequence[Vector], shards: Sequence[Examples], settings: TrainSettings, seeds: Sequence[int]
    ) -> list[TrainResult]:
        self.passes.append(len(vectors))
        each = zip(vectors, shards, seeds, strict=True)
        return [self.train(vector, shard, settings, seed) for vector, shard, seed in each]

    def evaluate_many(self, vectors: Sequence[Vector], examples: Examples) -> list:
        return [self.evaluate(vector, examples) for vector in vectors]


@dataclass
class World:
    task: ManySoftmax
    clock: WorldClock
    pool: TrainingPool
    model: bytes
    arrivals: list[tuple[int, int]] = field(default_factory=list)

    def add(self, number: int, duration_ms: int, *, wanted: bool = True, shard: Examples = SHARD) -> None:
        training = Training(self.model, None, shard, SETTINGS, seed=number)

        def done(result: tuple[int, Vector] | None) -> None:
            assert result is not None
            expected = self.task.train(self.start, shard, SETTINGS, number).vector
            np.testing.assert_array_equal(result[1], expected)
            self.arrivals.append((self.clock.now_ms, result[0]))

        def finish(view: SimpleNamespace, trained: TrainedUpdate) -> tuple[int, Vector]:
            self.start = view.vector
            return number, trained.vector

        self.pool.add(training, duration_ms, finish, done, lambda: wanted)


@pytest.fixture
def world():
    many = ManySoftmax()
    federation = build_federation(build_settings(), many)
    stores = build_memory_stores(federation.genesis)
    stores.models.put(federation.genesis.initial_model, federation.initial_model)
    with ThreadPoolExecutor(2) as executor:
        clock = WorldClock(executor)
        engine = LearningEngine(many, federation.genesis, stores.models, stores.payloads)
        yield World(many, clock, TrainingPool(engine, clock), federation.genesis.initial_model)


def run_all(world: World) -> None:
    assert not world.clock.run_until(lambda: False)


def test_one_pass_for_all_that_wait_when_the_first_is_due(world: World) -> None:
    for number, duration_ms in enumerate((300, 100, 200)):
        world.add(number, duration_ms)
    run_all(world)
    assert world.task.passes == [3]
    assert world.arrivals == [(100, 1), (200, 2), (300, 0)]


def test_who_begins_later_is_computed_later(world: World) -> None:
    world.add(0, 100)
    world.clock.call_later(50, lambda: world.add(1, 100))
    world.clock.call_later(150, lambda: world.add(2, 10))
    run_all(world)
    assert world.task.passes == [2, 1]
    assert world.arrivals == [(100, 0), (150, 1), (160, 2)]


def test_a_training_that_is_due_before_those_that_wait_begins_them_all(world: World) -> None:
    world.add(0, 500)
    world.clock.call_later(10, lambda: world.add(1, 20))
    run_all(world)
    assert world.task.passes == [2]
    assert world.arrivals == [(30, 1), (500, 0)]


def test_what_nobody_wants_any_more_is_not_computed(world: World) -> None:
    world.add(0, 100, wanted=False)
    world.add(1, 200)
    run_all(world)
    assert world.task.passes == [1]
    assert world.arrivals == [(200, 1)]


def test_passes_and_blocks_are_bounded(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "MAX_PASS", 4)
    monkeypatch.setattr(trainings, "MAX_BLOCK_FLOATS", 0)
    world.pool = TrainingPool(world.pool._engine, world.clock)
    for number in range(10):
        world.add(number, 100 + number)
    run_all(world)
    assert world.task.passes == [4, 4, 2]
    assert world.arrivals == [(100 + number, number) for number in range(10)]


def test_alike_shards_are_trained_together(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainings, "MAX_PASS", 2)
    seen: list[set[int]] = []
    train_many = world.task.train_many

    def note(vectors: Sequence[Vector], shards: Sequence[Examples], *rest: object) -> list[TrainResult]:
        seen.append({len(shard) for shard in shards})
        return train_many(vectors, shards, *rest)

    monkeypatch.setattr(world.task, "train_many", note)
    world.pool = TrainingPool(world.pool._engine, world.clock)
    for number, size in enumerate((20, 5, 20, 5)):
        world.add(number, 100 + number, shard=SHARD[np.arange(size)])
    run_all(world)
    assert sorted(map(sorted, seen)) == [[5], [20]]
    assert world.arrivals == [(100 + number, number) for number in range(4)]
