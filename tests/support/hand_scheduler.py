"""A scheduler whose time a test moves by hand; work is done when its turn comes, on the test's thread."""

from __future__ import annotations

import heapq
import itertools
import queue
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


class HandScheduler:
    """``flobc.ports.scheduler.Scheduler`` in which nothing happens between two calls of a test."""

    def __init__(self) -> None:
        self.now_ms = 0
        self._order = itertools.count()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._ready: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()

    def submit(self, kind: str, work: Callable[[], T], duration_ms: int, done: Callable[[T], None]) -> None:
        self._ready.put(lambda: done(work()))

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        heapq.heappush(self._timers, (self.now_ms + delay_ms, next(self._order), callback))

    def post(self, callback: Callable[[], None]) -> None:
        self._ready.put(callback)

    def run_until(self, finished: Callable[[], bool]) -> bool:
        """Handle what waits, and wait for other threads' posts: False when none came for ten seconds."""
        while not finished():
            try:
                self._ready.get(timeout=10)()
            except queue.Empty:
                return False
        return True

    def run(self) -> None:
        """Handle everything that waits now, and what that posts."""
        while not self._ready.empty():
            self._ready.get()()

    def advance(self, delay_ms: int) -> None:
        """Let time pass, firing timers in their order."""
        until_ms = self.now_ms + delay_ms
        self.run()
        while self._timers and self._timers[0][0] <= until_ms:
            self.now_ms, _, callback = heapq.heappop(self._timers)
            callback()
            self.run()
        self.now_ms = until_ms
