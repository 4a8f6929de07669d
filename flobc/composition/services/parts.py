"""What several services are built from alike: genesis, topics and the loop."""

from __future__ import annotations

import gc
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flobc.adapters.filesystem.files import read_regular
from flobc.adapters.kafka import KafkaSettings, KafkaTopic, ensure_topic
from flobc.adapters.prometheus import Metrics
from flobc.errors import DataError, FlobcError, RemoteProtocolError, TransientError
from flobc.numerics.parallel import available_cores
from flobc.ports.topics import Topic
from flobc.ports.tracing import NO_TRACES, Tracer
from flobc.protocol.encoding import decode
from flobc.protocol.params import Genesis, get_chain_id
from flobc.runtime.scheduling import WallScheduler

UPDATE_PARTITIONS = 8
MAX_GENESIS_BYTES = 1 << 26
FIRST_RETRY_S, LONGEST_RETRY_S = 0.25, 5.0
_TIMED_JOBS = frozenset(("train", "spool", "store", "snapshot"))
"""Others measure themselves, nearer to the work."""

logger = logging.getLogger(__name__)


def load_genesis_file(path: Path) -> Genesis:
    """Return the genesis in a file, or at the end of a link, as clusters mount them. **Raises** DataError."""
    try:
        data = read_regular(path.resolve(), MAX_GENESIS_BYTES)
        if data is None:
            raise DataError("there is no such file")
        return decode(Genesis, data)
    except (OSError, DataError, RemoteProtocolError) as error:
        raise DataError(
            f"There is no usable genesis in {path} ({error}); give the one the chain began with."
        ) from error


class Loop:
    """A service's loop and workers: ``run`` until ``stop`` is asked for or something fails for good.

    ``step`` is called after every event; it does what the node owes then. ``on_stop`` are called when the loop has
    ended, before its workers are waited for: they end what workers may be waiting for. ``metrics`` is what the
    service counts, ``tracer`` begins its spans.
    """

    def __init__(self, prepare_worker: Callable[[], None] = lambda: None, workers: int | None = None) -> None:
        self._executor = ThreadPoolExecutor(workers or available_cores(), "flobc-worker", initializer=prepare_worker)
        self.scheduler = WallScheduler(self._executor, attended=True)
        self.stopping = threading.Event()
        self.step: Callable[[], None] = lambda: None
        self.metrics = Metrics()
        self.tracer: Tracer = NO_TRACES
        self.scheduler.on_job = self._on_job
        self.on_stop: list[Callable[[], None]] = []
        self._failure: FlobcError | None = None

    def run(self) -> None:
        """Handle events. **Raises** the FlobcError handed to ``fail``, or what a job raised."""
        gc.collect()
        gc.freeze()  # modules and what was built from them stay: no collection need look at them again
        try:
            self.scheduler.run_until(self._is_finished)
        finally:
            self.stopping.set()
            for end in self.on_stop:
                end()
            self._executor.shutdown(wait=True, cancel_futures=True)
        if self._failure is not None:
            raise self._failure

    def _on_job(self, kind: str, duration_s: float) -> None:
        if kind in _TIMED_JOBS:
            self.metrics.observe("flobc_job_seconds", duration_s, work=kind)

    def _is_finished(self) -> bool:
        if not self.stopping.is_set():
            self.step()
        return self.stopping.is_set()

    def stop(self) -> None:
        """Let ``run`` return soon; signal handlers and other threads may call this."""
        self.stopping.set()

    def fail(self, error: FlobcError) -> None:
        """Stop because of ``error``."""
        self._failure = self._failure or error
        self.stop()

    def wait_for(self, what: str, attempt: Callable[[], None]) -> bool:
        """Try until ``attempt`` raises no TransientError, waiting longer each time; False when asked to stop."""
        delay_s = FIRST_RETRY_S
        while not self.stopping.is_set():
            try:
                attempt()
            except TransientError as error:
                logger.warning("%s is not ready: %s", what, error)
                self.stopping.wait(delay_s)
                delay_s = min(2 * delay_s, LONGEST_RETRY_S)
            else:
                return True
        return False


@dataclass(frozen=True)
class Topics:
    """The chain's two topics."""

    log: Topic
    updates: Topic

    def close(self, timeout_s: float) -> None:
        """Wait for what was sent to be acknowledged, and let go of both."""
        self.log.close(timeout_s)
        self.updates.close(timeout_s)


def get_topic_names(genesis: Genesis) -> tuple[str, str]:
    """Return the names of the chain's topics: log and updates."""
    chain = get_chain_id(genesis).hex()[:16]
    return f"flobc.{chain}.log", f"flobc.{chain}.updates"


def open_topic(settings: KafkaSettings, genesis: Genesis, kind: Literal["log", "updates"], loop: Loop) -> Topic | None:
    """Return one of the chain's topics as soon as Kafka has it, or None when asked to stop. **Raises** UsageError.

    Whoever is first makes it; others check that it is as it must be.
    """
    log, updates = get_topic_names(genesis)
    name, partitions = (log, 1) if kind == "log" else (updates, UPDATE_PARTITIONS)
    opened: list[Topic] = []

    def attempt() -> None:
        ensure_topic(settings, name, partitions, retention_s=None)
        opened.append(KafkaTopic(settings, name, meter=loop.metrics, label=kind))

    return opened[0] if loop.wait_for("Kafka", attempt) else None


def open_topics(settings: KafkaSettings, genesis: Genesis, loop: Loop) -> Topics | None:
    """Return both of the chain's topics, or None when asked to stop. **Raises** UsageError."""
    log = open_topic(settings, genesis, "log", loop)
    updates = None if log is None else open_topic(settings, genesis, "updates", loop)
    return None if log is None or updates is None else Topics(log, updates)
