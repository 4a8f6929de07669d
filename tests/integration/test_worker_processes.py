"""Models trained and scored in other processes: the same bits, the task's own errors, and nobody left behind."""

from __future__ import annotations

import errno
import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import numpy as np
import pytest

import flobc.simulation.simulate as simulation
from flobc.errors import DataError, FlobcError
from flobc.learning.task import DataSource, Examples
from flobc.learning.tasks import get_task
from flobc.runtime.processes import TaskInProcesses
from flobc.simulation.loading import read_world
from flobc.simulation.simulate import simulate
from tests.support.ports import wait_until

SPEC = "synthetic:examples=400,features=8,classes=3"
WORLD = """
run: {{task: "{task}", trainers: 12, validators: 3, rounds: 3, sync: {sync}, codec: {codec}, seed: 7}}
data: {{sharding: "dirichlet:0.5"}}
attacks: {{trainers: ["sign_flip@0.2", "nan@0.1"]}}
"""


@pytest.fixture(scope="module")
def lent() -> Iterator[TaskInProcesses]:
    with closing(TaskInProcesses(get_task(SPEC), SPEC, 2)) as task:
        yield task


def test_results_are_the_tasks_own_to_the_last_bit(lent: TaskInProcesses) -> None:
    task = get_task(SPEC)
    train = task.load(DataSource()).train
    start = task.initial_vector(1)
    shards = [train[np.arange(first, first + 30 + first)] for first in (0, 10, 20)]
    arguments = ([start] * 3, shards, task.default_settings, [1, 2, 3])
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda _: lent.train_many(*arguments), range(8)))
    wanted = task.train_many(*arguments)
    for results in found:
        assert [item.vector.tobytes() for item in results] == [item.vector.tobytes() for item in wanted]
    vectors = [item.vector for item in wanted]
    assert lent.evaluate_many(vectors, train) == task.evaluate_many(vectors, train)


def test_what_a_task_refuses_is_refused_in_its_own_words(lent: TaskInProcesses) -> None:
    task = get_task(SPEC)
    strange = Examples(np.zeros((4, 8), np.float32), np.array([0, 1, 2, 99]))
    with pytest.raises(DataError, match="99"):
        lent.evaluate_many([task.initial_vector(1)] * 2, strange)
    lent.evaluate_many([task.initial_vector(1)] * 2, task.load(DataSource()).test)


def test_a_process_that_was_killed_is_told_in_one_sentence() -> None:
    with closing(TaskInProcesses(get_task(SPEC), SPEC, 1)) as lent:
        test = lent.load(DataSource()).test
        os.kill(lent.list_processes()[0], signal.SIGKILL)
        with pytest.raises(FlobcError, match="code -9; is there too little memory"):
            lent.evaluate_many([lent.initial_vector(1)] * 2, test)


def test_memory_that_cannot_be_had_is_told_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(TaskInProcesses(get_task(SPEC), SPEC, 1)) as lent:
        test = lent.load(DataSource()).test

        def refuse(descriptor: int, size: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

        with monkeypatch.context() as patched:
            patched.setattr(os, "ftruncate", refuse)
            with pytest.raises(FlobcError, match=r"No space left on device.*try with --workers 1"):
                lent.evaluate_many([lent.initial_vector(1)] * 2, test)


def test_no_process_outlives_its_owner() -> None:
    lent = TaskInProcesses(get_task(SPEC), SPEC, 2)
    processes = lent.list_processes()
    lent.close()
    wait_until(lambda: not any(os.path.exists(f"/proc/{process}") for process in processes))


@pytest.mark.parametrize(("sync", "codec"), [("bap", "int16"), ("ssp", "int8")])
def test_a_world_is_the_same_with_and_without_processes(sync: str, codec: str, monkeypatch: pytest.MonkeyPatch) -> None:
    text = WORLD.format(task=SPEC, sync=sync, codec=codec)
    alone = simulate(read_world("world", text), workers=1)
    monkeypatch.setattr(simulation, "LEAST_FOR_PROCESSES", 1)
    used: list[int] = []
    original = TaskInProcesses.train_updates
    monkeypatch.setattr(TaskInProcesses, "train_updates", lambda self, *rest: used.append(1) or original(self, *rest))
    together = simulate(read_world("world", text), workers=2)
    assert used
    assert together.results.head == alone.results.head
