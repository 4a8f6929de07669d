"""Trainings that start within one step of the loop are one job, and give what each would give alone."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from examples.numpy_task import SoftmaxRegression
from flobc.adapters.memory import MemoryModels, MemoryPayloads
from flobc.composition.genesis import build_federation
from flobc.composition.settings import RunSettings
from flobc.learning.many import ManyTask
from flobc.learning.task import DataSource, Evaluation, Examples, TrainResult, TrainSettings, Vector
from flobc.runtime.engine import LearningEngine
from flobc.runtime.joint_training import JointTraining
from flobc.runtime.local_updates import ModelView, TrainedUpdate, Training
from tests.support.hand_scheduler import HandScheduler

TASK = "examples.numpy_task:task"
SHARD = SoftmaxRegression().load(DataSource()).train
HOW, OTHERWISE = TrainSettings(learning_rate=0.5), TrainSettings(learning_rate=0.1)


class Together(SoftmaxRegression):
    """Notes how many models each pass is over."""

    def __init__(self) -> None:
        self.passes: list[int] = []

    def prefers_many(self, examples: Examples) -> bool:
        return True

    def train_many(
        self, vectors: Sequence[Vector], shards: Sequence[Examples], settings: TrainSettings, seeds: Sequence[int]
    ) -> list[TrainResult]:
        self.passes.append(len(vectors))
        return [self.train(v, shard, settings, seed) for v, shard, seed in zip(vectors, shards, seeds, strict=True)]

    def evaluate_many(self, vectors: Sequence[Vector], examples: Examples) -> list[Evaluation]:
        return [self.evaluate(vector, examples) for vector in vectors]


class World:
    def __init__(self) -> None:
        self.task, self.scheduler = Together(), HandScheduler()
        assert isinstance(self.task, ManyTask)
        federation = build_federation(RunSettings(task=TASK, chunk_size=4), self.task)
        self.models = MemoryModels()
        self.model = federation.genesis.initial_model
        self.models.put(self.model, federation.initial_model)
        self.engine = LearningEngine(self.task, federation.genesis, self.models, MemoryPayloads())
        self.joint = JointTraining(self.engine, self.scheduler)
        self.results: dict[str, Vector | None] = {}

    def add(self, name: str, seed: int, start: Vector | None = None, how: TrainSettings = HOW) -> Training:
        training = Training(self.model, start, SHARD[seed * 40 : seed * 40 + 50], how, seed)

        def finish(view: ModelView, trained: TrainedUpdate) -> Vector:
            return trained.vector - view.vector

        self.joint.add(training, finish, lambda result: self.results.update({name: result}))
        return training

    def compute_alone(self, training: Training) -> Vector:
        base = self.engine.get_view(training.model).vector
        start = base if training.start is None else training.start
        return self.engine.train(start, training.shard, training.settings, training.seed) - base


@pytest.fixture
def world() -> World:
    return World()


def test_what_is_added_before_a_start_is_one_pass(world: World) -> None:
    start = np.full(world.engine.grid.size, 0.25, np.float32)
    added = {"one": world.add("one", 1), "two": world.add("two", 2, start), "three": world.add("three", 3)}
    assert world.task.passes == []
    world.joint.start()
    world.scheduler.run()
    assert world.task.passes == [3]
    for name, training in added.items():
        assert np.array_equal(world.results[name], world.compute_alone(training))  # type: ignore[arg-type]
    world.joint.start()
    world.scheduler.run()
    assert world.task.passes == [3], "nothing is trained twice"
    world.add("four", 4)
    world.joint.start()
    world.scheduler.run()
    assert world.task.passes == [3, 1]


def test_unlike_settings_or_models_are_passes_of_their_own(world: World) -> None:
    world.add("one", 1)
    world.add("two", 2, how=OTHERWISE)
    world.add("three", 3)
    world.joint.start()
    world.scheduler.run()
    assert sorted(world.task.passes) == [1, 2]
    assert len(world.results) == 3


def test_a_model_that_is_gone_gives_everybody_nothing(world: World) -> None:
    world.model = b"\1" * 32
    world.add("one", 1)
    world.add("two", 2)
    world.joint.start()
    world.scheduler.run()
    assert world.results == {"one": None, "two": None}
    assert world.task.passes == []
