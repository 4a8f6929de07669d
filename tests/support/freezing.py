"""Processes that exist and do nothing, as on a machine that hangs."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.services import wait_until


@contextmanager
def frozen(*pids: int) -> Iterator[None]:
    """Stop processes for the length of the block, which begins when every thread of theirs stands still."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    try:
        wait_until(lambda: all(_stands_still(pid) for pid in pids), f"the stop of {pids}")
        yield
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)


def _stands_still(pid: int) -> bool:
    tasks = Path(f"/proc/{pid}/task")
    states = [path.read_text().rpartition(")")[2].split()[0] for path in tasks.glob("*/stat")]
    return not tasks.exists() or all(state == "T" for state in states)  # no /proc: what cannot be looked at is believed
