"""The world's clock, and each node's own view of it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from flobc.ports.scheduler import Scheduler
from flobc.protocol.bounds import PPM
from flobc.runtime.scheduling import VirtualScheduler

T = TypeVar("T")


class WorldClock(VirtualScheduler):
    """The virtual clock of a whole world, whose nodes all live on one loop."""

    def post(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` at this very time; nothing comes from other threads."""
        self.call_later(0, callback)


class NodeClock:
    """A ``Scheduler`` as one node sees it: its clock may be off, and what it planned ends with it.

    ``drift_ppm`` is how much faster than the world it runs. ``after`` is called after each of its results and timers,
    as a process's loop looks for what it owes.
    """

    def __init__(self, world: Scheduler, after: Callable[[], None], drift_ppm: int = 0, offset_ms: int = 0) -> None:
        self._world = world
        self._after = after
        self._drift_ppm = drift_ppm
        self._offset_ms = offset_ms
        self.is_running = True
        self.jobs: Counter[str] = Counter()
        """How many jobs of each kind are under way."""

    @property
    def now_ms(self) -> int:
        """What the node's clock shows."""
        now_ms = self._world.now_ms
        return max(0, now_ms + now_ms * self._drift_ppm // PPM + self._offset_ms)

    def submit(self, kind: str, work: Callable[[], T], duration_ms: int, done: Callable[[T], None]) -> None:
        """Plan ``work``: how long it takes does not depend on what a clock shows."""

        self.jobs[kind] += 1

        def finish(result: T) -> None:
            self.jobs[kind] -= 1
            self._do(lambda: done(result))

        self._world.submit(kind, work, duration_ms, finish)

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` when the node's clock has moved by ``delay_ms``."""
        self._world.call_later(delay_ms * PPM // (PPM + self._drift_ppm), lambda: self._do(callback))

    def post(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` at this very time."""
        self._world.post(lambda: self._do(callback))

    def run_until(self, finished: Callable[[], bool]) -> bool:
        """Run the world's loop."""
        return self._world.run_until(finished)

    def stop(self) -> None:
        """End the node: nothing that it planned happens any more."""
        self.is_running = False

    def _do(self, callback: Callable[[], None]) -> None:
        if self.is_running:
            callback()
            self._after()
