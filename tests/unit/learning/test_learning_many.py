"""Several models at once: the results of one by one, whichever way a task computes them."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from examples.numpy_task import task as numpy_task
from flobc.errors import DataError, UsageError
from flobc.learning.determinism import single_threaded
from flobc.learning.many import ManyTask, evaluate_many, prefers_many, train_many
from flobc.learning.models import build_mlp, build_paper_cnn, build_small_cnn
from flobc.learning.task import DataSource, Evaluation, Examples, Splits, Task, TrainResult, TrainSettings, Vector
from flobc.learning.torch_task import Objective, TorchTask

PIXELS, CLASSES = 16, 3
CLOSE = {"rtol": 1e-3, "atol": 2e-5}


def unavailable(source: DataSource) -> Splits:
    raise AssertionError(f"this task has no data set in {source}")


def build_conv() -> nn.Module:
    return nn.Sequential(
        nn.Unflatten(1, (1, 4, 4)),
        nn.Conv2d(1, 6, 3, padding=1),
        nn.GroupNorm(2, 6),
        nn.ReLU(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(24, CLASSES),
    )


class Tied(nn.Module):
    """Uses one weight twice, and one that never moves."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(PIXELS, PIXELS)
        self.second = nn.Linear(PIXELS, PIXELS)
        self.second.weight = self.first.weight
        self.scale = nn.Parameter(torch.full((PIXELS,), 0.5), requires_grad=False)
        self.out = nn.Linear(PIXELS, CLASSES)

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.out(torch.tanh(self.second(torch.tanh(self.first(features)))) * self.scale)
        return outputs


class Peeking(nn.Module):
    """Looks at a value on its way, which no pass over several models can."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(PIXELS, CLASSES)

    def forward(self, features: Tensor) -> Tensor:
        outputs: Tensor = self.inner(features)
        return outputs if outputs.sum().item() > 0 else outputs * 2


TOGETHER = {
    "mlp": lambda: build_mlp(PIXELS, (8,), CLASSES),
    "conv": build_conv,
    "tied": Tied,
    "softly": lambda: nn.Sequential(nn.Linear(PIXELS, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, CLASSES)),
}
ALONE = {
    "dropout": lambda: nn.Sequential(nn.Linear(PIXELS, 8), nn.Dropout(0.3), nn.Linear(8, CLASSES)),
    "batch_norm": lambda: nn.Sequential(nn.Linear(PIXELS, 8), nn.BatchNorm1d(8), nn.Linear(8, CLASSES)),
    "peeking": Peeking,
    "large": lambda: build_mlp(PIXELS, (2_000,), CLASSES),
}
TASKS = {name: TorchTask(name, build, unavailable) for name, build in (TOGETHER | ALONE).items()}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    single_threaded()


def build_shard(count: int, seed: int) -> Examples:
    rng = np.random.default_rng(seed)
    return Examples(rng.standard_normal((count, PIXELS)).astype(np.float32), rng.integers(0, CLASSES, count))


def train_alone(
    task: Task, vectors: list[Vector], shards: list[Examples], how: TrainSettings, seeds: list[int]
) -> list[TrainResult]:
    return [task.train(*each, how, seed) for each, seed in zip(zip(vectors, shards, strict=True), seeds, strict=True)]


def require_alike(found: list[TrainResult], wanted: list[TrainResult]) -> None:
    assert len(found) == len(wanted)
    for one, other in zip(found, wanted, strict=True):
        assert one.vector.dtype == np.float32
        np.testing.assert_allclose(one.vector, other.vector, **CLOSE)  # type: ignore[arg-type]
        assert one.examples == other.examples
        assert one.loss == pytest.approx(other.loss, rel=1e-4)


def draw_vectors(task: Task, count: int) -> list[Vector]:
    return [task.initial_vector(seed) for seed in range(count)]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_says_which_models_it_prefers_many_of(name: str) -> None:
    """Not those with state beside the weights, with randomness, with a look at values, or large ones."""
    assert isinstance(TASKS[name], ManyTask)
    assert prefers_many(TASKS[name], build_shard(8, 0)) == (name in TOGETHER)


@pytest.mark.parametrize("name", TASKS)
def test_many_at_once_are_trained_as_one_by_one(name: str) -> None:
    task, counts = TASKS[name], [20, 33, 7, 33]
    shards, vectors = [build_shard(count, seed) for seed, count in enumerate(counts)], draw_vectors(task, len(counts))
    how = TrainSettings(learning_rate=0.05, momentum=0.5, batch_size=8, epochs=2, proximal_mu=0.1, weight_decay=0.01)
    before = [vector.copy() for vector in vectors]
    found = train_many(task, vectors, shards, how, [4, 3, 2, 1])
    require_alike(found, train_alone(task, vectors, shards, how, [4, 3, 2, 1]))
    assert all(np.array_equal(one, other) for one, other in zip(vectors, before, strict=True))
    again = train_many(task, vectors, shards, how, [4, 3, 2, 1])
    assert [result.vector.tobytes() for result in again] == [result.vector.tobytes() for result in found]


@settings(max_examples=15, deadline=None)
@given(
    counts=st.lists(st.integers(1, 40), min_size=1, max_size=6),
    batch_size=st.integers(1, 12),
    passes=st.sampled_from([(1, None), (3, None), (None, 1), (None, 9)]),
    optimizer=st.sampled_from(["sgd", "adam"]),
    name=st.sampled_from(sorted(TOGETHER)),
)
def test_shards_of_any_lengths(
    counts: list[int], batch_size: int, passes: tuple[int | None, int | None], optimizer: str, name: str
) -> None:
    """Shorter shards end earlier, last batches are shorter: no model sees another batch than it would alone."""
    task = TASKS[name]
    how = TrainSettings(
        optimizer=optimizer,  # type: ignore[arg-type]
        learning_rate=0.02 if optimizer == "sgd" else 0.0005,
        batch_size=batch_size,
        epochs=passes[0],
        steps=passes[1],
    )
    shards = [build_shard(count, seed) for seed, count in enumerate(counts)]
    vectors, seeds = draw_vectors(task, len(counts)), list(range(len(counts)))
    found = train_many(task, vectors, shards, how, seeds)
    wanted = train_alone(task, vectors, shards, how, seeds)
    for one, other in zip(found, wanted, strict=True):
        # Adam turns a gradient that is nothing but rounding into a whole step, so a few values may differ by some.
        far = np.abs(one.vector - other.vector) > 2e-5
        assert far.mean() < (0.05 if optimizer == "adam" else 1e-9)
        assert one.loss == pytest.approx(other.loss, rel=1e-3)


@pytest.mark.parametrize("name", TASKS)
def test_many_at_once_are_scored_as_one_by_one(name: str) -> None:
    task, shard = TASKS[name], build_shard(300, 5)  # more than one batch of evaluation
    vectors = draw_vectors(task, 5)
    found = evaluate_many(task, vectors, shard)
    for one, other in zip(found, [task.evaluate(vector, shard) for vector in vectors], strict=True):
        assert one.loss == pytest.approx(other.loss, rel=1e-5)
        assert one.accuracy == pytest.approx(other.accuracy, abs=1e-9)
        assert one.examples == len(shard)
    assert evaluate_many(task, [], shard) == []
    assert train_many(task, [], [], TrainSettings(), []) == []


def test_one_that_diverges_spoils_no_other() -> None:
    task, shards = TASKS["mlp"], [build_shard(20, 0), build_shard(20, 1)]
    wild, tame = np.full_like(task.initial_vector(0), np.inf), task.initial_vector(1)
    found = train_many(task, [wild, tame], shards, TrainSettings(), [0, 1])
    assert not np.isfinite(found[0].vector).all()
    np.testing.assert_allclose(found[1].vector, task.train(tame, shards[1], TrainSettings(), 1).vector, **CLOSE)  # type: ignore[arg-type]


def test_a_loss_of_ones_own() -> None:
    own = Objective(
        lambda outputs, labels: (outputs[:, 0] - labels).square().mean(), lambda outputs, labels: labels == 0
    )
    task = TorchTask("own", TOGETHER["mlp"], unavailable, loss=own)
    shards, vectors = [build_shard(9, 0), build_shard(12, 1)], draw_vectors(task, 2)
    assert prefers_many(task, shards[0])
    how = TrainSettings(learning_rate=0.01, batch_size=4)
    require_alike(train_many(task, vectors, shards, how, [0, 1]), train_alone(task, vectors, shards, how, [0, 1]))


def test_a_task_that_knows_only_one_is_asked_one_by_one() -> None:
    splits = numpy_task.load(DataSource())
    shards, vectors = [splits.train[:50], splits.train[50:]], draw_vectors(numpy_task, 2)
    assert not isinstance(numpy_task, ManyTask)
    assert not prefers_many(numpy_task, splits.train)
    how = numpy_task.default_settings
    found = train_many(numpy_task, vectors, shards, how, [1, 2])
    wanted = train_alone(numpy_task, vectors, shards, how, [1, 2])
    assert [result.vector.tobytes() for result in found] == [result.vector.tobytes() for result in wanted]
    scored: list[Evaluation] = evaluate_many(numpy_task, vectors, splits.test)
    assert scored == [numpy_task.evaluate(vector, splits.test) for vector in vectors]


def test_shipped_networks_that_gain_nothing_are_left_alone() -> None:
    """One draws (dropout), both lay their channels out in a way that a pass over several cannot."""
    for build, shape in ((build_paper_cnn, (1, 28, 28)), (build_small_cnn, (1, 8, 8))):
        task = TorchTask("cnn", build, unavailable, input_shape=shape)
        examples = Examples(np.zeros((4, *shape), np.float32), np.zeros(4, np.int64))
        assert not prefers_many(task, examples)


def test_invalid_examples_are_named() -> None:
    task, shard = TASKS["mlp"], build_shard(8, 0)
    task.prefers_many(shard)
    wrong = dataclasses.replace(shard, labels=shard.labels + 99)
    vectors = draw_vectors(task, 2)
    with pytest.raises(DataError, match="labels 99 to 101"):
        train_many(task, vectors, [shard, wrong], TrainSettings(), [0, 1])
    with pytest.raises(DataError, match="labels"):
        evaluate_many(task, vectors, wrong)
    assert prefers_many(task, shard), "what somebody's examples are like says nothing of the model"
    with pytest.raises(UsageError, match="2 models, 1 shards and 2 seeds"):
        train_many(task, vectors, [shard], TrainSettings(), [0, 1])
    with pytest.raises(UsageError, match="float32 vector of"):
        train_many(task, [vectors[0], vectors[1][:-1]], [shard, shard], TrainSettings(), [0, 1])
