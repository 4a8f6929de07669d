"""A validator's arithmetic in processes of their own: the one that talks to others never waits for tensors."""

from __future__ import annotations

import gc
import logging
import multiprocessing
import os
import signal
import threading
from collections import deque
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import CancelledError, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TypeVar

from flobc.adapters.filesystem import FileModels, FilePayloads
from flobc.adapters.grpc import BlobClient
from flobc.adapters.prometheus import Metrics
from flobc.composition.genesis import load_validation_shard
from flobc.composition.services.connections import build_tls
from flobc.composition.services.models import FetchedModels, FetchedPayloads
from flobc.composition.services.serving import set_up_logging
from flobc.composition.services.settings import ValidatorSettings, split_addresses
from flobc.errors import DataError, FlobcError, NotHeld, TransientError, UsageError
from flobc.learning.tasks import get_task
from flobc.ports.tracing import get_current_trace, within
from flobc.protocol.consensus.state import ClosedRound
from flobc.protocol.messages import Vote
from flobc.protocol.params import Genesis
from flobc.protocol.roles.duties import BaseEvaluation, EvaluateBase, ScoreUpdate
from flobc.runtime.engine import LearningEngine
from flobc.runtime.local_scorer import LocalScorer
from flobc.runtime.memory import keep_freed_memory
from flobc.runtime.worker_threads import prepare_worker

BATCH_SIZE = 8
"""How many updates are scored in one pass: more would keep votes back that others wait for."""
CACHE_BYTES = 128 * 1024 * 1024
RETRY_S = 1.0
REMEMBERED_ROUNDS = 3
"""For how many rounds each process is told which updates are settled; one that idles longer forgets by size alone."""

R = TypeVar("R")
T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Failure:
    """What a job raised, without what cannot be sent between processes."""

    kind: type[FlobcError]
    message: str

    def build(self) -> FlobcError:
        if self.kind is TransientError:
            return TransientError(self.message, RETRY_S)
        return self.kind(self.message)


class ScoringProcesses:
    """A ``Scorer`` whose work is done by worker processes, each with the task, the shard and an engine of its own.

    A worker that ends unexpectedly is replaced, and what it was doing is done again. Workers write nothing but whole
    files named by their content, so they are simply killed in the end.
    """

    batch_size = BATCH_SIZE

    def __init__(self, settings: ValidatorSettings, genesis: Genesis, metrics: Metrics) -> None:
        self._metrics = metrics
        self._settings = settings
        self._genesis = genesis
        self._models = FileModels(settings.data / "models")
        self._lock = threading.Lock()
        self._pool = self._build_pool()
        self._closed = False
        self._settled: deque[frozenset[bytes]] = deque(maxlen=REMEMBERED_ROUNDS)
        self.max_jobs = settings.scorers + 1

    def prepare(self) -> None:
        """Wait until a worker has its task and shard. **Raises** UsageError when they cannot be had."""
        self._call(_prepare)

    def evaluate(self, duty: EvaluateBase) -> BaseEvaluation:
        """Return loss and accuracy of a certified model. **Raises** NotHeld, TransientError."""
        return self._call(_evaluate, duty)

    def score(self, duties: Sequence[ScoreUpdate], elapsed_ms: int) -> list[Vote | None]:
        """Return a vote for each update, None where something it needs is not held. **Raises** TransientError."""
        return self._call(_score, tuple(duties), elapsed_ms, frozenset().union(*self._settled))

    def aggregate(self, closed: ClosedRound, parent: bytes) -> bytes:
        """Return the digest of the model that a closed round makes, and keep it. **Raises** NotHeld, TransientError."""
        return self._call(_aggregate, closed, parent)

    def keep_models(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        self._models.keep_only(digests)

    def forget_updates(self, updates: Collection[bytes]) -> None:
        """Have the workers forget what these updates decode to."""
        self._settled.append(frozenset(updates))

    def list_workers(self) -> list[int]:
        """Return the numbers of the worker processes."""
        with self._lock:
            return list(self._pool._processes or {})

    def close(self) -> None:
        """End the workers at once."""
        with self._lock:
            self._closed = True
            _kill(self._pool)

    def _call(self, work: Callable[..., R | _Failure], *arguments: object) -> R:
        with self._lock:
            pool = self._pool
            if self._closed:
                raise TransientError("The scoring processes are closed.", RETRY_S)
        try:
            with self._metrics.time_job(work.__name__.strip("_")):
                outcome = pool.submit(_do_within, get_current_trace(), work, *arguments).result()
                if isinstance(outcome, _Failure):
                    raise outcome.build()
                return outcome
        except (BrokenProcessPool, CancelledError) as error:
            self._replace(pool)
            raise TransientError(
                "A scoring process ended unexpectedly; another one takes its place.", RETRY_S
            ) from error

    def _replace(self, broken: ProcessPoolExecutor) -> None:
        with self._lock:
            if self._pool is broken and not self._closed:
                _kill(broken)
                self._pool = self._build_pool()

    def _build_pool(self) -> ProcessPoolExecutor:
        # A fresh interpreter, for a forked one would inherit the locks of the clients' threads.
        context = multiprocessing.get_context("spawn")
        return ProcessPoolExecutor(
            self._settings.scorers, context, initializer=_begin, initargs=(self._settings, self._genesis)
        )


def _kill(pool: ProcessPoolExecutor) -> None:
    processes = list((pool._processes or {}).values())  # what its own kill_workers does from Python 3.14 on
    pool.shutdown(wait=False, cancel_futures=True)
    for process in processes:
        process.kill()


class _Worker:
    """What one worker process holds."""

    engine: LearningEngine
    scorer: LocalScorer
    failure: _Failure | None = None


def _begin(settings: ValidatorSettings, genesis: Genesis) -> None:
    """Build the worker's own parts; what goes wrong is told by every job, for a process pool would only break."""
    threading.Thread(target=_end_with_parent, name="flobc-parent", daemon=True).start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C goes to the whole group, and the parent decides
    set_up_logging(settings.log_level)
    keep_freed_memory()
    try:
        task = get_task(genesis.task)
        prepare_worker()  # now that the task has loaded whatever library it computes with
        peers = split_addresses(settings.validators)
        client = BlobClient(peers, build_tls(settings)) if peers else None
        engine = LearningEngine(
            task,
            genesis,
            FetchedModels(FileModels(settings.data / "models"), client.get_model if client else None),
            FetchedPayloads(
                FilePayloads(settings.data / "payloads", flush=False), client.get_payload if client else None
            ),
            CACHE_BYTES,
        )
        _Worker.engine = engine
        _Worker.scorer = LocalScorer(engine, load_validation_shard(task, settings.get_place()), genesis)
        gc.freeze()  # the task's library is large and stays
    except FlobcError as error:
        _Worker.failure = _Failure(UsageError, str(error))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(0)


def _do_within(trace: str, work: Callable[..., T], *arguments: object) -> T:
    """Do a job that belongs to a trace of the parent's."""
    with within(trace):
        return work(*arguments)


def _attempt(work: Callable[[], R]) -> R | _Failure:
    """Do a job; ``_Failure`` for what the parent is to raise."""
    if _Worker.failure is not None:
        return _Worker.failure
    try:
        return work()
    except NotHeld as error:
        return _Failure(NotHeld, str(error))
    except (TransientError, DataError, OSError) as error:
        return _Failure(TransientError, f"A scoring process cannot go on now: {error}")


def _prepare() -> _Failure | None:
    return _attempt(lambda: None)


def _evaluate(duty: EvaluateBase) -> BaseEvaluation | _Failure:
    return _attempt(lambda: _Worker.scorer.evaluate(duty))


def _score(duties: tuple[ScoreUpdate, ...], elapsed_ms: int, settled: frozenset[bytes]) -> list[Vote | None] | _Failure:
    if _Worker.failure is None:
        _Worker.engine.forget_updates(settled)
    return _attempt(lambda: _Worker.scorer.score(duties, elapsed_ms))


def _aggregate(closed: ClosedRound, parent: bytes) -> bytes | _Failure:
    return _attempt(lambda: _Worker.scorer.aggregate(closed, parent))
