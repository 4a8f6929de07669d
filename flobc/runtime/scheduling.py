"""Two schedulers: a virtual clock whose order of events depends on durations alone, and the wall clock.

Under the virtual clock work runs on as many threads as there are cores, yet results enter the loop
in the order of their virtual times, so a run's log does not depend on how fast this machine is.
"""

from __future__ import annotations

import contextvars
import heapq
import itertools
import queue
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")


HANDOVER_S = 0.0005
"""Work that takes less CPU time than this costs more to hand to another thread than to do."""


@dataclass(eq=False)
class _Job:
    """Work whose result is due at a virtual time; ``future`` is None when the loop itself will do it."""

    kind: str
    work: Callable[[], Any]
    future: Future[Any] | None


class VirtualScheduler:
    """A discrete-event loop; ties are broken by the order of submission.

    Workers take the job whose result is due first, because that is what the loop waits for. Work of a kind
    that was short the last time is done by the loop when its result is due.
    """

    def __init__(self, executor: ThreadPoolExecutor) -> None:
        self._executor = executor
        self._now_ms = 0
        self._order = itertools.count()
        self._events: list[tuple[int, int, _Job | None, Callable[..., None]]] = []
        self._jobs: queue.PriorityQueue[tuple[int, int, _Job]] = queue.PriorityQueue()
        self._cpu_s: dict[str, float] = {}

    @property
    def now_ms(self) -> int:
        """The virtual time."""
        return self._now_ms

    def submit(self, kind: str, work: Callable[[], T], duration_ms: int, done: Callable[[T], None]) -> None:
        """Plan ``work``; its result arrives after ``duration_ms`` of virtual time."""
        short = self._cpu_s.get(kind, HANDOVER_S) < HANDOVER_S
        job = _Job(kind, work, None if short else Future())
        due_ms, order = self._now_ms + duration_ms, next(self._order)
        heapq.heappush(self._events, (due_ms, order, job, done))
        if not short:
            self._jobs.put((due_ms, order, job))
            self._executor.submit(self._do_next)

    def _do_next(self) -> None:
        _, _, job = self._jobs.get_nowait()
        assert job.future is not None
        try:
            job.future.set_result(self._do(job))
        except BaseException as error:
            job.future.set_exception(error)

    def _do(self, job: _Job) -> Any:
        start_s = time.thread_time()
        try:
            return job.work()
        finally:
            self._cpu_s[job.kind] = time.thread_time() - start_s

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` after ``delay_ms`` of virtual time."""
        heapq.heappush(self._events, (self._now_ms + delay_ms, next(self._order), None, callback))

    def post(self, callback: Callable[[], None]) -> None:
        """Nothing comes from outside where time is virtual."""
        raise NotImplementedError("the virtual clock takes no events from other threads")

    def run_until(self, finished: Callable[[], bool]) -> bool:
        """Handle events in order of virtual time; what a job raised is raised here."""
        while not finished():
            if not self._events:
                return False
            self._now_ms, _, job, callback = heapq.heappop(self._events)
            if job is None:
                callback()
            else:
                callback(self._do(job) if job.future is None else job.future.result())
        return True


class WallScheduler:
    """A loop on real time; results arrive as they are ready, so two runs differ.

    An ``attended`` one waits for what other threads post even when it has nothing else to wait for. ``on_job`` is told,
    on the worker, each job's kind and how many seconds it took.
    """

    _POLL_S = 0.2  # how soon Ctrl-C is noticed on platforms where a blocked queue cannot be interrupted

    def __init__(self, executor: ThreadPoolExecutor, *, attended: bool = False) -> None:
        self._executor = executor
        self._attended = attended
        self._start_s = time.monotonic()
        self._order = itertools.count()
        self._timers: list[tuple[int, int, Callable[[], None]]] = []
        self._ready: queue.SimpleQueue[Callable[[], None]] = queue.SimpleQueue()
        self._running = 0
        self.on_job: Callable[[str, float], None] = lambda _kind, _duration_s: None

    @property
    def now_ms(self) -> int:
        """Milliseconds since the scheduler was made."""
        return int((time.monotonic() - self._start_s) * 1000)

    def submit(self, kind: str, work: Callable[[], T], duration_ms: int, done: Callable[[T], None]) -> None:  # noqa: ARG002
        """Start ``work`` now; its result arrives when it is there."""
        self._running += 1

        def do() -> T:
            start_s = time.monotonic()
            try:
                return work()
            finally:
                self.on_job(kind, time.monotonic() - start_s)

        def finish(future: Future[T]) -> None:
            self._running -= 1
            done(future.result())

        context = contextvars.copy_context()  # work belongs to the trace in which it was submitted
        self._executor.submit(context.run, do).add_done_callback(lambda future: self._ready.put(lambda: finish(future)))

    def post(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop soon; other threads may call this."""
        self._ready.put(callback)

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` after ``delay_ms`` of real time."""
        heapq.heappush(self._timers, (self.now_ms + delay_ms, next(self._order), callback))

    def run_until(self, finished: Callable[[], bool]) -> bool:
        """Handle results and timers as they come."""
        while not finished():
            if not (self._running or self._timers or self._attended):
                return False
            wait_s = self._POLL_S
            if self._timers:
                wait_s = min(wait_s, max(0.0, (self._timers[0][0] - self.now_ms) / 1000))
            try:
                callback = self._ready.get(timeout=wait_s)
            except queue.Empty:
                self._fire_timers()
                continue
            callback()
            self._fire_timers()
        return True

    def _fire_timers(self) -> None:
        while self._timers and self._timers[0][0] <= self.now_ms:
            heapq.heappop(self._timers)[2]()
