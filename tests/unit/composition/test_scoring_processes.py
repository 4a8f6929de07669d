"""A validator's arithmetic in worker processes: the same results, and no worker is indispensable."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FileModels
from flobc.adapters.memory import MemoryPayloads
from flobc.adapters.prometheus import Metrics
from flobc.composition.genesis import build_federation, build_shards
from flobc.composition.services.scoring import ScoringProcesses
from flobc.composition.services.settings import ValidatorSettings
from flobc.composition.settings import RunSettings
from flobc.errors import NotHeld, TransientError, UsageError
from flobc.learning.tasks import get_task
from flobc.protocol.roles.duties import EvaluateBase
from flobc.runtime.engine import LearningEngine
from flobc.runtime.local_scorer import LocalScorer
from tests.support.dialogue import digest

RUN = RunSettings(task="examples.numpy_task:task", trainers=2, validators=4)
TASK = get_task(RUN.task)
FEDERATION = build_federation(RUN, TASK)
DUTY = EvaluateBase(0, FEDERATION.genesis.initial_model)


def build_settings(data: Path, shards: int = 4) -> ValidatorSettings:
    return ValidatorSettings(genesis=data, data=data, kafka="nowhere:1", key=data, index=1, shards=shards)


@pytest.fixture
def processes(tmp_path: Path) -> Iterator[ScoringProcesses]:
    FileModels(tmp_path / "models").put(FEDERATION.genesis.initial_model, FEDERATION.initial_model)
    made = ScoringProcesses(build_settings(tmp_path), FEDERATION.genesis, Metrics())
    yield made
    made.close()


def test_a_worker_finds_what_this_process_finds_and_a_killed_one_is_replaced(
    processes: ScoringProcesses, tmp_path: Path
) -> None:
    engine = LearningEngine(TASK, FEDERATION.genesis, FileModels(tmp_path / "models"), MemoryPayloads())
    expected = LocalScorer(engine, build_shards(RUN, TASK).validators[1], FEDERATION.genesis).evaluate(DUTY)
    processes.prepare()
    assert processes.evaluate(DUTY) == expected
    for worker in list(processes._pool._processes.values()):
        worker.kill()
        worker.join()
    with pytest.raises(TransientError, match="another one takes its place"):
        processes.evaluate(DUTY)
    assert processes.evaluate(DUTY) == expected
    with pytest.raises(NotHeld):
        processes.evaluate(EvaluateBase(9, digest("no such model")))
    processes.close()
    with pytest.raises(TransientError, match="closed"):
        processes.evaluate(DUTY)


def test_a_worker_that_cannot_have_its_shard_says_why(tmp_path: Path) -> None:
    processes = ScoringProcesses(build_settings(tmp_path, shards=1), FEDERATION.genesis, Metrics())
    try:
        with pytest.raises(UsageError, match="FLOBC_INDEX 1"):
            processes.prepare()
    finally:
        processes.close()
