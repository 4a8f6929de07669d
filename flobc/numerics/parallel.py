"""A small pool of threads for kernels that release the GIL.

Work is cut into ranges of coordinates whose results do not touch each other, so the number of
threads changes the time only, never a bit of the result. (Numba's own ``prange`` is not used: its
default threading layer aborts the process when two Python threads enter it at once.)
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

# Below this many coordinates handing work to a thread (about 30 us) costs more than it saves.
INLINE_COORDINATES = 1 << 16
# Ranges start on whole cache lines and whole kernel tiles.
ALIGNMENT = 4096
# More ranges than threads, so that one thread which the system holds up does not decide the time.
RANGES_PER_THREAD = 4


def available_cores() -> int:
    """The cores this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


class _Pool:
    """The process's threads, made at first use and made anew after a fork."""

    def __init__(self) -> None:
        self.threads = available_cores()
        self.reset()

    def parallel(self) -> bool:
        """Whether to hand work on: a pool thread that waited for the pool would wait for ever."""
        return self.threads > 1 and not getattr(_inside, "inline", False)

    def reset(self) -> None:
        self._lock = threading.Lock()
        self._executor: ThreadPoolExecutor | None = None

    def executor(self) -> ThreadPoolExecutor:
        with self._lock:
            if self._executor is None:
                self._executor = ThreadPoolExecutor(self.threads, "flobc-numerics", initializer=run_inline)
            return self._executor


_inside = threading.local()
_pool = _Pool()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.reset)


def run_inline() -> None:
    """Let the calling thread do its numerics itself: for the workers of a pool that is parallel already."""
    _inside.inline = True


@contextmanager
def inline(wanted: bool = True) -> Iterator[None]:
    """As ``run_inline``, in this block; not ``wanted`` hands work to the pool again."""
    before, _inside.inline = getattr(_inside, "inline", False), wanted
    try:
        yield
    finally:
        _inside.inline = before


def spread() -> AbstractContextManager[None]:
    """Hand work to the pool in this block even from an inline thread: for a job that runs alone."""
    return inline(False)


def set_threads(threads: int) -> None:
    """Use ``threads`` threads from now on; the default is one per available core."""
    _pool.threads = max(1, threads)
    _pool.reset()


def for_each(items: Iterable[Item], function: Callable[[Item], Result]) -> list[Result]:
    """``[function(item) for item in items]`` on the pool; the first exception in order is raised."""
    work = list(items)
    if len(work) < 2 or not _pool.parallel():
        return [function(item) for item in work]
    return list(_pool.executor().map(function, work))


def for_each_range(size: int, function: Callable[[int, int], Result], unit: int = ALIGNMENT) -> list[Result]:
    """``function(start, stop)`` over ranges of whole ``unit``s that cover ``[0, size)``, on the pool when it pays."""
    if size < INLINE_COORDINATES or not _pool.parallel():
        return [function(0, size)]
    parts = _pool.threads * RANGES_PER_THREAD
    width = -(-size // (parts * unit)) * unit
    starts = range(0, size, width)
    return for_each(starts, lambda start: function(start, min(start + width, size)))
