"""Port: time and concurrent work."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeVar

T = TypeVar("T")


class Scheduler(Protocol):
    """Runs work beside the event loop and hands each result back to it, one at a time."""

    @property
    def now_ms(self) -> int:
        """Milliseconds since the scheduler started."""
        ...

    def submit(self, kind: str, work: Callable[[], T], duration_ms: int, done: Callable[[T], None]) -> None:
        """Have ``work`` done beside the loop; ``done`` gets its result on the loop.

        Jobs of one ``kind`` take about as long as each other. ``duration_ms`` is how long the work takes
        in virtual time; a wall clock ignores it.
        """
        ...

    def call_later(self, delay_ms: int, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop after ``delay_ms``."""
        ...

    def post(self, callback: Callable[[], None]) -> None:
        """Call ``callback`` on the loop soon; the only method that other threads may call."""
        ...

    def run_until(self, finished: Callable[[], bool]) -> bool:
        """Run the loop until ``finished()``; False when nothing is left that could ever finish it."""
        ...
