"""Threads that bring what comes from outside onto a scheduler's loop."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping

from flobc.errors import FlobcError, TransientError
from flobc.ports.scheduler import Scheduler
from flobc.ports.topics import Entry, Topic

POLL_S = 0.5
MAX_WAITING_BATCHES = 8
"""How many batches may wait for the loop before a reader reads on: bounds what a flooder can make a node hold."""

logger = logging.getLogger(__name__)


class TopicReader:
    """Reads a topic on a thread of its own and hands batch after batch to the loop.

    While the topic is away it tries again; what can never succeed is handed to ``on_failure``.
    """

    def __init__(
        self,
        topic: Topic,
        scheduler: Scheduler,
        take: Callable[[list[Entry]], None],
        on_failure: Callable[[FlobcError], None],
    ) -> None:
        self._topic = topic
        self._scheduler = scheduler
        self._take = take
        self._on_failure = on_failure
        self._on_ends: Callable[[Mapping[int, int]], None] | None = None
        self._room = threading.Semaphore(MAX_WAITING_BATCHES)
        self._stopping = threading.Event()
        self._pass = 0
        self._thread = threading.Thread(target=self._run, name="flobc-reader", daemon=True)

    def start(self, positions: Mapping[int, int], on_ends: Callable[[Mapping[int, int]], None] | None = None) -> None:
        """Begin to read at these offsets; ``on_ends`` is told on the loop, before any record, where the topic ends."""
        self._topic.seek(positions)
        self._on_ends = on_ends
        self._thread.start()

    def rewind(self) -> None:
        """Read everything again from the oldest record; nothing read before is handed over any more.

        Called on the loop; the reading thread goes back at its next turn.
        """
        self._pass += 1

    def stop(self, timeout_s: float) -> None:
        """Stop reading; batches already read are still handed over if the loop runs on."""
        self._stopping.set()
        self._room.release()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        current = self._pass
        while not self._stopping.is_set():
            try:
                if self._on_ends is not None:
                    self._tell_ends(self._on_ends)
                if current != self._pass:
                    current = self._pass
                    self._topic.seek({})
                entries = self._topic.read(POLL_S)
            except TransientError as error:
                logger.warning("%s", error)
                self._stopping.wait(error.delay_s)
                continue
            except FlobcError as error:
                self._hand_over_failure(error)
                return
            if entries:
                self._room.acquire()
                self._scheduler.post(lambda number=current, batch=entries: self._give(number, batch))  # type: ignore[misc]

    def _tell_ends(self, on_ends: Callable[[Mapping[int, int]], None]) -> None:
        ends = self._topic.ends()
        self._on_ends = None
        self._scheduler.post(lambda: on_ends(ends))

    def _give(self, number: int, entries: list[Entry]) -> None:
        self._room.release()
        if number == self._pass:
            self._take(entries)

    def _hand_over_failure(self, error: FlobcError) -> None:
        self._scheduler.post(lambda: self._on_failure(error))
