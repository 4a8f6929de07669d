"""Appending to a topic without waiting for it."""

from __future__ import annotations

import queue
import threading
from collections.abc import Sequence
from concurrent.futures import Future

from flobc.errors import FlobcError
from flobc.ports.topics import Topic


class Outbox:
    """Appends records to a topic in order, on a thread of its own.

    ``Topic.append`` blocks while there is no room or no broker; a loop that waited for it would not even stop when
    asked to. Whoever appends bounds what waits here, by waiting for the futures.
    """

    def __init__(self, topic: Topic) -> None:
        self._topic = topic
        self._waiting: queue.SimpleQueue[tuple[Future[None], bytes, bytes, Sequence[str]] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="flobc-outbox", daemon=True)
        self._thread.start()

    def append(self, key: bytes, value: bytes, traces: Sequence[str] = ()) -> Future[None]:
        """Add a record (see ``Topic.append``); returns at once, and what that raises is the future's exception."""
        future: Future[None] = Future()
        self._waiting.put((future, key, value, traces))
        return future

    def stop(self, timeout_s: float) -> None:
        """Append what waits, if that can be had in time, and take nothing more."""
        self._waiting.put(None)
        self._thread.join(timeout_s)

    def _run(self) -> None:
        while (item := self._waiting.get()) is not None:
            future, key, value, traces = item
            try:
                answer = self._topic.append(key, value, traces)
            except FlobcError as error:
                future.set_exception(error)
            else:
                answer.add_done_callback(lambda done, future=future: _hand_on(done, future))  # type: ignore[misc]


def _hand_on(answer: Future[None], future: Future[None]) -> None:
    error = answer.exception()
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
