"""Appending to a topic: any thread, bounded memory, and every record's fate known in time."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import dataclass

from kafka import KafkaProducer  # type: ignore[import-untyped]
from kafka.errors import KafkaError  # type: ignore[import-untyped]

from flobc.adapters.kafka.clients import explain_error, open_client
from flobc.adapters.kafka.settings import MAX_RECORD_BYTES, RECORD_OVERHEAD_BYTES, KafkaSettings, to_ms
from flobc.errors import FlobcError, TransientError

_BATCH_BYTES = 900_000
"""What gathers while a batch is under way: several payload chunks, and below what a stock broker takes at once."""
_GRACE_S = 2.0
"""How much later than the library we give a record up: its own reason is better than ours."""
_RETRY_DELAY_S = 1.0


@dataclass(frozen=True)
class _Waiting:
    """A record that Kafka has not acknowledged yet."""

    size_bytes: int
    until_s: float


class RecordWriter:
    """Sends records to a topic's partitions through one idempotent producer at a time.

    A producer any of whose records failed is given up and all that waits in it fails with it: after a fatal error
    it takes nothing more, and what it still retries could overtake records that are sent again. A thread of the
    writer's own sees to that, for the library forgets its deadlines while it asks for a producer id.
    """

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        self._settings = settings
        self._topic = topic
        self._sending = threading.Lock()  # held to open, to send and to give up: never by the library's thread
        self._changed = threading.Condition()  # guards what follows; nothing blocks while it is held
        self._waiting: dict[Future[None], _Waiting] = {}
        self._waiting_bytes = 0
        self._failure: FlobcError | None = None
        self._closed = False
        self._producer: KafkaProducer | None = None
        self._watchman: threading.Thread | None = None

    def append(
        self, partition: int, key: bytes, value: bytes, headers: Sequence[tuple[str, bytes]] = ()
    ) -> Future[None]:
        """Send a record and return its future (see ``Topic.append``). **Raises** TransientError, UsageError."""
        until_s = time.monotonic() + self._settings.append_timeout_s
        future: Future[None] = Future()
        future.set_running_or_notify_cancel()  # what is on its way cannot be called back
        with self._reserve_turn(until_s):
            producer = self._open()
            beside_bytes = RECORD_OVERHEAD_BYTES * (1 + len(headers))
            self._add(future, len(key) + len(value) + beside_bytes, until_s)
            try:
                sent = producer.send(self._topic, value=value, key=key, partition=partition, headers=list(headers))
            except (KafkaError, ValueError) as error:
                failure = explain_error(error, self._settings, self._what)
                self._settle(future, failure)
                raise failure from error
        sent.add_callback(lambda _: self._settle(future, None))
        sent.add_errback(lambda error: self._settle(future, explain_error(error, self._settings, self._what)))
        return future

    def close(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` for what is under way, then give up the rest."""
        until_s = time.monotonic() + timeout_s
        with self._changed:
            self._changed.wait_for(lambda: not self._waiting or self._failure is not None, timeout_s)
            self._closed = True
            self._failure = self._failure or self._build_failure("the topic was closed before Kafka acknowledged it")
            self._changed.notify_all()
        if self._watchman is not None:
            self._watchman.join(max(1.0, until_s - time.monotonic()))

    @property
    def _what(self) -> str:
        return f"append to {self._topic}"

    @contextlib.contextmanager
    def _reserve_turn(self, until_s: float) -> Iterator[None]:
        if not self._sending.acquire(timeout=max(0.0, until_s - time.monotonic())):
            raise self._build_failure("others have waited for it too long")
        try:
            yield
        finally:
            self._sending.release()

    def _open(self) -> KafkaProducer:
        """The producer in use, or a new one; the caller's turn it is."""
        if self._closed:
            raise self._build_failure("the topic is closed here")
        if self._failure is not None:
            self._give_up()
        if self._producer is None:
            self._producer = open_client(
                KafkaProducer,
                self._settings,
                acks="all",
                enable_idempotence=True,
                linger_ms=0,
                batch_size=_BATCH_BYTES,
                max_request_size=2 * MAX_RECORD_BYTES,
                max_block_ms=to_ms(self._settings.request_timeout_s),
                delivery_timeout_ms=to_ms(self._settings.delivery_timeout_s),
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        if self._watchman is None:
            self._watchman = threading.Thread(target=self._watch, name=f"{self._topic} writer", daemon=True)
            self._watchman.start()
        return self._producer

    def _add(self, future: Future[None], size_bytes: int, until_s: float) -> None:
        """Wait for room and take it."""
        with self._changed:
            room = self._settings.max_waiting_bytes
            has_room = self._changed.wait_for(
                lambda: self._failure is not None or self._waiting_bytes + size_bytes <= room or not self._waiting,
                max(0.0, until_s - time.monotonic()),
            )
            if self._failure is not None:
                raise self._failure
            if not has_room:
                raise self._build_failure(f"{self._waiting_bytes} bytes wait to be acknowledged already")
            given_up_s = time.monotonic() + self._settings.delivery_timeout_s + _GRACE_S
            self._waiting[future] = _Waiting(size_bytes, given_up_s)
            self._waiting_bytes += size_bytes
            if len(self._waiting) == 1:
                self._changed.notify_all()  # the watchman has a deadline again

    def _settle(self, future: Future[None], failure: FlobcError | None) -> None:
        """Take a record off the list and tell its future, once."""
        with self._changed:
            waiting = self._waiting.pop(future, None)
            if waiting is None:
                return
            self._waiting_bytes -= waiting.size_bytes
            self._failure = self._failure or failure
            self._changed.notify_all()
        _finish(future, failure)

    def _watch(self) -> None:
        """Give the producer up when a record failed, when one is overdue and when all is over."""
        while True:
            with self._changed:
                while self._failure is None:
                    oldest = next(iter(self._waiting.values()), None)
                    now_s = time.monotonic()
                    if oldest is not None and oldest.until_s <= now_s:
                        self._failure = self._build_failure("it was not acknowledged in time")
                        break
                    self._changed.wait(None if oldest is None else oldest.until_s - now_s)
            with self._sending:
                if self._failure is not None:
                    self._give_up()
                if self._closed:
                    return

    def _give_up(self) -> None:
        """Let the producer go, fail what waits in it; the caller's turn it is."""
        if self._producer is not None:
            _close_at_once(self._producer, self._settings.request_timeout_s)
            self._producer = None
        with self._changed:
            failure, self._failure = self._failure, None
            lost, self._waiting, self._waiting_bytes = self._waiting, {}, 0
            self._changed.notify_all()
        for future in lost:
            _finish(future, failure)

    def _build_failure(self, reason: str) -> TransientError:
        return TransientError(
            f"Cannot {self._what}: {reason} (Kafka at {self._settings.address}); trying again.", _RETRY_DELAY_S
        )


def _finish(future: Future[None], failure: FlobcError | None) -> None:
    if failure is None:
        future.set_result(None)
    else:
        future.set_exception(failure)


def _close_at_once(producer: KafkaProducer, timeout_s: float) -> None:
    """End a producer and its thread without waiting for its records.

    Its own ``close`` waits for them first, and raises with the thread still running when they do not come.
    """
    producer._sender.force_close()
    producer._sender.join(timeout_s)
    with contextlib.suppress(KafkaError):
        producer.close(0)
