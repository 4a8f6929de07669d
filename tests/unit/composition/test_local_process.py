"""Processes that ``flobc up`` starts: when one counts as running."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest

from flobc.composition.local.process import DetachedProcess

PATIENCE_S = 60.0
_FIRST_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(600,)).start()
ctypes.CDLL(None).pthread_exit(None)
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux shows its threads here")
def test_a_process_runs_until_its_last_thread_has_ended(tmp_path: Path) -> None:
    """A killed Kafka holds its port that long: one that ``flobc up`` took for running then was none."""
    process = DetachedProcess("threads", tmp_path / "pid", tmp_path / "log")
    pid = process.start([sys.executable, "-c", _FIRST_THREAD_ENDS])
    try:
        until_s = time.monotonic() + PATIENCE_S
        while Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
            assert time.monotonic() < until_s, "the first thread did not end"
            time.sleep(0.01)
        assert process.pid == pid
    finally:
        process.kill()
    assert process.pid is None
