"""Processes of a measurement are found by their mark, whoever started them, and none outlives it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator

import pytest

from tests.bench import processes
from tests.support.ports import wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Starts a detached child, says its number, and waits to be told to end.
PARENT = """
import subprocess, sys
child = subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL)
print(child.pid, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def mark(request: pytest.FixtureRequest) -> Iterator[str]:
    mark = f"{os.getpid()}-{request.node.name}"
    yield mark
    processes.stop_marked(mark)


def start_marked(mark: str) -> tuple[subprocess.Popen[str], int]:
    parent = subprocess.Popen(
        [sys.executable, "-S", "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, processes.MARK: mark},
    )
    assert parent.stdout is not None
    return parent, int(parent.stdout.readline())


def test_a_detached_child_is_found_with_its_parent(mark: str) -> None:
    with start_marked(mark)[0] as parent:
        found = processes.list_marked(mark)
        assert len(found) == 2
        assert processes.select_family(found, parent.pid) == sorted(found, key=lambda one: one.pid != parent.pid)
        # They may still be starting, so two looks agree only once they have what they need.
        wait_until(
            lambda: (
                processes.measure_usage(mark).rss_bytes == sum(one.rss_bytes for one in processes.list_marked(mark)) > 0
            )
        )
        assert processes.list_marked(mark + "0") == []
        processes.stop_marked(mark)


def test_a_child_whose_parent_was_killed_is_stopped(mark: str) -> None:
    parent, child = start_marked(mark)
    with parent:
        parent.kill()
        parent.wait()
        assert [one.pid for one in processes.list_marked(mark)] == [child]
        processes.stop_marked(mark)
        assert all(one.ended for one in processes.list_marked(mark))


def test_an_ended_child_counts_until_its_parent_waits_for_it(mark: str) -> None:
    parent, child = start_marked(mark)
    with parent:
        os.kill(child, signal.SIGKILL)
        deadline_s = time.monotonic() + 10
        while not (ended := [one for one in processes.list_marked(mark) if one.ended]):
            assert time.monotonic() < deadline_s, "the killed child is not among the processes"
        assert [(one.pid, one.parent) for one in ended] == [(child, parent.pid)]
        processes.stop_marked(mark)
