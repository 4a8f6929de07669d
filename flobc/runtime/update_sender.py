"""Carries records to the updates topic on a thread of its own, so that nothing else waits while Kafka is away."""

from __future__ import annotations

import itertools
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import Future, wait
from dataclasses import dataclass

from flobc.errors import FlobcError, TransientError
from flobc.ports.scheduler import Scheduler
from flobc.ports.topics import Topic

ACKNOWLEDGED_S = 60.0
POLL_S = 0.1

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Item:
    key: bytes
    records: Iterable[bytes]
    done: Callable[[bool], None]
    trace: str


class UpdateSender:
    """One writer for all trainers of a process; ``on_failure`` is told on the loop what no trying again can mend.

    The thread is a daemon: an append may block for longer than a process that was told to end can wait, and what
    was not sent is in the spools.
    """

    def __init__(
        self, updates: Topic, scheduler: Scheduler, on_failure: Callable[[FlobcError], None] = lambda _: None
    ) -> None:
        self._on_failure = on_failure
        self._updates = updates
        self._scheduler = scheduler
        self._queue: queue.SimpleQueue[_Item | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flobc-sender", daemon=True)

    def start(self) -> None:
        """Begin to send."""
        self._thread.start()

    def send(self, key: bytes, records: Iterable[bytes], done: Callable[[bool], None], trace: str = "") -> None:
        """Send a trainer's records, in this order; ``done`` is told on the loop whether all were acknowledged.

        The first of them says to which trace all belong.
        """
        self._queue.put(_Item(key, records, done, trace))

    def stop(self, timeout_s: float) -> None:
        """Send nothing more, and wait up to ``timeout_s`` for the append under way; nobody is told any more."""
        self._stopping.set()
        self._queue.put(None)
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            item = self._queue.get()
            items = [] if item is None else [item]
            while not self._queue.empty():  # what came meanwhile goes along, and is waited for together
                item = self._queue.get()
                items += [] if item is None else [item]
            self._send(items)

    def _send(self, items: list[_Item]) -> None:
        answers: list[list[Future[None]]] = []
        try:
            for item in items:
                if self._stopping.is_set():
                    return
                traces = itertools.chain(((item.trace,),), itertools.repeat(()))
                answers.append(
                    [self._updates.append(item.key, *each) for each in zip(item.records, traces, strict=False)]
                )
        except FlobcError as error:
            self._note(error)
        until_s = time.monotonic() + ACKNOWLEDGED_S
        for place, item in enumerate(items):
            sent = place < len(answers) and self._is_acknowledged(answers[place], until_s)
            if self._stopping.is_set():
                return
            self._scheduler.post(lambda item=item, sent=sent: item.done(sent))  # type: ignore[misc]

    def _is_acknowledged(self, answers: list[Future[None]], until_s: float) -> bool:
        while wait(answers, POLL_S).not_done:
            if self._stopping.is_set():
                return False
            if time.monotonic() > until_s:
                logger.warning("the updates topic did not acknowledge within %.0f s", ACKNOWLEDGED_S)
                return False
        for answer in answers:
            try:
                answer.result()
            except FlobcError as error:
                self._note(error)
                return False
        return True

    def _note(self, error: FlobcError) -> None:
        logger.warning("the updates topic took not all: %s", error)
        if not isinstance(error, TransientError):
            self._scheduler.post(lambda: self._on_failure(error))
