"""A task whose work on many models is done in processes of its own, so that the caller's Python need not wait for it.

A thread that computes with torch asks for the interpreter's lock between any two operations, and where another
thread runs Python all the time, each of them waits for milliseconds. A worker process has a lock of its own. It is sent
vectors and examples, and nothing is kept in it, so results are those of the task itself to the last bit.
"""

from __future__ import annotations

import os
import queue
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from typing import Any, TypeVar

from flobc.errors import FlobcError
from flobc.learning.device import get_device, set_device
from flobc.learning.many import ManyTask, evaluate_many, train_many
from flobc.learning.task import (
    DataSource,
    Evaluation,
    Examples,
    ModelInfo,
    Splits,
    Task,
    TrainResult,
    TrainSettings,
    Vector,
)
from flobc.learning.tasks import get_task
from flobc.runtime.array_channel import ArrayChannel, open_memory
from flobc.runtime.local_updates import ModelView, TrainedUpdate, Training, UpdateCoding, train_updates
from flobc.runtime.memory import keep_freed_memory
from flobc.runtime.worker_threads import prepare_worker

_GRACE_S = 5.0
_NICENESS = 10
"""Workers give way to the caller, on whose Python all of them wait now and then: a sixth of a round's time."""

T = TypeVar("T")


class WorkerProcess:
    """One process that has loaded a task; it ends with the connection, so with its parent too."""

    def __init__(self, spec: str) -> None:
        ours, theirs = socket.socketpair()
        own, other = open_memory(), open_memory()
        with theirs:
            descriptors = [theirs.fileno(), other, own]
            command = [sys.executable, "-P", "-m", __name__, *map(str, descriptors), spec, get_device().type]
            self._process = subprocess.Popen(
                command,
                pass_fds=descriptors,
                stdin=subprocess.DEVNULL,
                stdout=2,  # what a task prints is no data of the parent's
                start_new_session=True,  # Ctrl-C is for the parent, with whom it ends
                env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
            )
        self._channel = ArrayChannel(Connection(ours.detach()), own, other)

    @property
    def number(self) -> int:
        """Its process id."""
        return self._process.pid

    def ask(self, work: Callable[..., T], arguments: tuple[Any, ...]) -> T | None:
        """Return what ``work``, a function of a module, gives for the task and the arguments, or None where it raised.

        **Raises** FlobcError when the process has ended, or there is no memory to share with it.
        """
        try:
            self._channel.send((work, arguments))
            found: T | None = self._channel.receive()
            return found
        except (EOFError, ConnectionError) as error:
            code = self._process.wait()
            why = "is there too little memory?" if code < 0 else "what it said stands above."
            raise FlobcError(f"A worker process ended with code {code}; {why} Try with --workers 1.") from error
        except OSError as error:
            self.hang_up()  # it may still wait for what was not sent
            raise FlobcError(f"A worker process cannot be given arrays ({error}); try with --workers 1.") from error

    def hang_up(self) -> None:
        """Let the process end."""
        self._channel.close()

    def wait(self) -> None:
        """Wait for its end, for a while; then end it."""
        try:
            self._process.wait(_GRACE_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


class TaskInProcesses:
    """A :class:`~flobc.learning.task.Task` that has its many models trained and scored by ``count`` processes.

    ``spec`` is the name by which each of them gets the same task. Whoever asks while all are busy waits.
    """

    def __init__(self, task: Task, spec: str, count: int) -> None:
        self._task = task
        self._workers = [WorkerProcess(spec) for _ in range(count)]
        self._idle: queue.SimpleQueue[WorkerProcess] = queue.SimpleQueue()
        for worker in self._workers:
            self._idle.put(worker)

    @property
    def name(self) -> str:
        """As the task's."""
        return self._task.name

    @property
    def default_settings(self) -> TrainSettings:
        """As the task's."""
        return self._task.default_settings

    def model_info(self) -> ModelInfo:
        """As the task's."""
        return self._task.model_info()

    def initial_vector(self, seed: int) -> Vector:
        """As the task's."""
        return self._task.initial_vector(seed)

    def load(self, source: DataSource) -> Splits:
        """As the task's."""
        return self._task.load(source)

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        """As the task's, here."""
        return self._task.train(vector, examples, settings, seed)

    def evaluate(self, vector: Vector, examples: Examples) -> Evaluation:
        """As the task's, here."""
        return self._task.evaluate(vector, examples)

    def prefers_many(self, examples: Examples) -> bool:
        """As the task's."""
        return isinstance(self._task, ManyTask) and self._task.prefers_many(examples)

    def train_many(
        self, vectors: Sequence[Vector], shards: Sequence[Examples], settings: TrainSettings, seeds: Sequence[int]
    ) -> list[TrainResult]:
        """As the task's, in a worker process."""
        return self._ask(train_many, vectors, shards, settings, seeds)

    def evaluate_many(self, vectors: Sequence[Vector], examples: Examples) -> list[Evaluation]:
        """As the task's, in a worker process."""
        return self._ask(evaluate_many, vectors, examples)

    def train_updates(
        self, coding: UpdateCoding, base: ModelView, trainings: Sequence[Training]
    ) -> list[TrainedUpdate]:
        """As the function of this name, in a worker process."""
        return self._ask(train_updates, coding, base, trainings)

    def list_processes(self) -> list[int]:
        """Return the processes' ids."""
        return [worker.number for worker in self._workers]

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.hang_up()
        for worker in self._workers:
            worker.wait()

    def _ask(self, work: Callable[..., T], *arguments: Any) -> T:
        worker = self._idle.get()
        try:
            found = worker.ask(work, arguments)
        finally:
            self._idle.put(worker)
        # What failed there is done again here, so that its error is the task's own.
        return work(self._task, *arguments) if found is None else found


def serve(channel: ArrayChannel, task: Task) -> None:
    """Answer one request after the other until the other side is gone."""
    while True:
        try:
            work, arguments = channel.receive()
        except EOFError:
            return
        try:
            found = work(task, *arguments)
        except Exception:
            found = None
        channel.send(found)


def main() -> None:
    """Be a worker process; the arguments are three file descriptors, a task's name and a device."""
    *descriptors, spec, device = sys.argv[1:]
    connection, own, other = map(int, descriptors)
    os.nice(_NICENESS)
    keep_freed_memory()
    set_device(device)
    task = get_task(spec)
    prepare_worker()
    try:
        serve(ArrayChannel(Connection(connection), own, other), task)
    except ConnectionError:  # the parent is gone
        os._exit(1)


if __name__ == "__main__":
    main()
