"""How the process treats memory that comes and goes: large arrays, and small objects by the hundred thousand."""

from __future__ import annotations

import ctypes
import gc
import platform
from collections.abc import Iterator
from contextlib import contextmanager

# glibc's names for what mallopt sets, from malloc.h.
_TRIM_THRESHOLD, _TOP_PAD, _MMAP_THRESHOLD, _ARENA_MAX = -1, -2, -3, -8
_LARGEST_MMAP_THRESHOLD = 32 * 1024 * 1024  # glibc refuses more
_KEPT_BYTES = 1024 * 1024 * 1024
_GROWTH_BYTES = 64 * 1024 * 1024
_COLLECT_AFTER = 200_000


def keep_freed_memory() -> bool:
    """Let glibc reuse freed arrays instead of giving each back to the kernel and faulting it in again.

    By default every array above 128 KiB is mapped, zeroed page by page and unmapped: a third of the
    time of training a small network. Returns False where the allocator is not glibc's; nothing
    changes then.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    mallopt = ctypes.CDLL(None).mallopt
    options = {
        _MMAP_THRESHOLD: _LARGEST_MMAP_THRESHOLD,
        _TRIM_THRESHOLD: _KEPT_BYTES,
        _TOP_PAD: _GROWTH_BYTES,
        _ARENA_MAX: 1,  # what a thread frees in an arena of its own goes back all the same
    }
    return all(mallopt(option, value) for option, value in options.items())


@contextmanager
def sparing_collector() -> Iterator[None]:
    """Let Python look for cycles seldom in this block, and never among what was there before.

    A world's messages and states are immutable, so hardly any of them are in cycles, and reference counts free them.
    Yet each look visits all that live: a fifth of the time of rounds with a thousand trainers.
    """
    thresholds = gc.get_threshold()
    gc.collect()  # what is garbage by now must not be frozen with the rest
    gc.freeze()
    gc.set_threshold(_COLLECT_AFTER, 20, 100)
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()
