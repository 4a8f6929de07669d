"""How many threads a task's own library may use, without loading that library."""

from __future__ import annotations

import sys


def limit_threads() -> None:
    """Let torch, where the task has loaded it, compute with one thread in the calling thread.

    A task that computes with torch imports it with its own module, so it is loaded before any worker starts.
    """
    if "torch" in sys.modules:
        from flobc.learning.determinism import single_threaded  # noqa: PLC0415

        single_threaded()
