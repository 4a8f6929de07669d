"""Two schedulers: a virtual clock whose order of events depends on durations alone, and the wall clock.

Under the virtual clock work runs on as many threads as there are cores, yet results enter the loop
in the order of their virtual times, so a run's log does not depend on how fast this machine is.
"""

from __future__ import annotations

import heapq
import itertools
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

T = TypeVar("T")


class VirtualScheduler:
    """A discrete-event loop; ties are broken by the order of submission.

    Workers take the job whose result is due first, because that is what the loop waits for.
    """

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._now_ms = 0
        self._order = itertools.count()
        self._events: list[tuple[int, int, Future[Any] | None, Callable[..., None]]] = []
        self._jobs: queue.PriorityQueue[tuple[int, int, Future[Any], Callable[[], Any]]] = queue.PriorityQueue()

    @property
    def now_ms(self) -> int:
        """The virtual time."""
        return self._now_ms

    def submit(self, work: Callable[[], T], duration_ms: int, done: Callable[[T], None]) -> None:
        """Start ``work`` now; its result arrives after ``duration_ms`` of virtual time."""
        future: Future[T] = Future()
        due_ms, order = self._now_ms + duration_ms, next(self._order)
        self._jobs.put((due_ms, order, future, work))
        heapq.heappush(self._events, (due_ms, order, future, done))
        self._executor.submit(self._do_next)

    def _do_next(self) -> None:
        _, _, future, work = self._jobs.get_nowait()
        try:
            future.set_result(work())
        except BaseException as error:
            future.set_exception(error)

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` after ``delay_ms`` of virtual time."""
        heapq.heappush(self._events, (self._now_ms + delay_ms, next(self._order), None, callback))

    def run_until(self, finished: Callable[[], bool]) -> bool:
        """Handle events in order of virtual time; what a job raised is raised here."""
        while not finished():
            if not self._events:
                return False
            self._now_ms, _, future, callback = heapq.heappop(self._events)
            if future is None:
                callback()
            else:
                callback(future.result())
        return True


class WallScheduler:
    """A loop on real time; results arrive as they are ready, so two runs differ."""

    _POLL_S = 0.2  # how soon Ctrl-C is noticed on platforms where a blocked queue cannot be interrupted

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._start_s = time.monotonic()
        self._order = itertools.count()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._ready: queue.SimpleQueue[tuple[Future[Any], Callable[[Any], None]]] = queue.SimpleQueue()
        self._running = 0

    @property
    def now_ms(self) -> int:
        """Milliseconds since the scheduler was made."""
        return int((time.monotonic() - self._start_s) * 1000)

    def submit(self, work: Callable[[], T], duration_ms: int, done: Callable[[T], None]) -> None:  # noqa: ARG002
        """Start ``work`` now; its result arrives when it is there."""
        self._running += 1
        future = self._executor.submit(work)
        future.add_done_callback(lambda finished: self._ready.put((finished, done)))

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` after ``delay_ms`` of real time."""
        heapq.heappush(self._timers, (self.now_ms + delay_ms, next(self._order), callback))

    def run_until(self, finished: Callable[[], bool]) -> bool:
        """Handle results and timers as they come."""
        while not finished():
            if not self._running and not self._timers:
                return False
            wait_s = self._POLL_S
            if self._timers:
                wait_s = min(wait_s, max(0.0, (self._timers[0][0] - self.now_ms) / 1000))
            try:
                future, done = self._ready.get(timeout=wait_s)
            except queue.Empty:
                self._fire_timers()
                continue
            self._running -= 1
            done(future.result())
            self._fire_timers()
        return True

    def _fire_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now_ms:
            heapq.heappop(self._timers)[2]()
