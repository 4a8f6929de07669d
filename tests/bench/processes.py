"""The processes of one measurement, found by a mark in their environment: what they use, and their end.

A mark is inherited, so it also finds what was started by others, detached, or left behind by a parent that
was killed. Linux only: everything is read from ``/proc``.
"""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass
from pathlib import Path

MARK = "FLOBC_BENCH_MARK"
STOP_TIMEOUT_S = 10.0
_TICKS_PER_S = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


@dataclass(frozen=True)
class Process:
    """One process; ``cpu_s`` counts the children that ended and were waited for."""

    pid: int
    parent: int
    cpu_s: float
    rss_bytes: int
    command: str
    ended: bool


@dataclass(frozen=True)
class Usage:
    """What a group of processes has used so far (CPU) and holds now (memory; shared pages count in each)."""

    cpu_s: float
    rss_bytes: int


def list_marked(mark: str) -> list[Process]:
    """Give every process that carries the mark, and their ended children that nobody has waited for yet.

    Those children have no environment left, but still the CPU time that no parent has been charged with.
    """
    entry = f"{MARK}={mark}".encode()
    marked, ended = [], []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            process = read_process(folder)
            if process.ended:
                ended.append(process)
            elif entry in (folder / "environ").read_bytes().split(b"\0"):
                marked.append(process)
        except OSError:
            continue  # it ended meanwhile, or is another user's
    pids = {process.pid for process in marked}
    return marked + [process for process in ended if process.parent in pids]


def read_process(folder: Path) -> Process:
    """Read one process of ``/proc``. Raises ``OSError`` where it is gone."""
    # the second field is the name in parentheses, which may itself hold blanks and parentheses
    fields = (folder / "stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    return Process(
        pid=int(folder.name),
        parent=int(fields[1]),
        cpu_s=sum(map(int, fields[11:15])) / _TICKS_PER_S,
        rss_bytes=int(fields[21]) * _PAGE_BYTES,
        command=(folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace"),
        ended=fields[0] in "ZX",
    )


def measure_usage(mark: str) -> Usage:
    processes = list_marked(mark)
    return Usage(
        cpu_s=sum(process.cpu_s for process in processes),
        rss_bytes=sum(process.rss_bytes for process in processes),
    )


def select_family(processes: list[Process], root: int) -> list[Process]:
    """Give the process ``root`` and all that descend from it, as far as they are among ``processes``."""
    family = [process for process in processes if process.pid == root]
    for member in family:  # grows while it is walked
        family += [process for process in processes if process.parent == member.pid]
    return family


def kill_all(processes: list[Process]) -> None:
    for process in processes:
        try:
            os.kill(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def stop_marked(mark: str) -> None:
    """Kill whatever carries the mark until nothing does. Raises ``TimeoutError`` where something survives."""
    deadline_s = time.monotonic() + STOP_TIMEOUT_S
    while running := [process for process in list_marked(mark) if not process.ended]:
        if time.monotonic() > deadline_s:
            raise TimeoutError(f"Processes {[process.pid for process in running]} could not be stopped; end them.")
        kill_all(running)
        time.sleep(0.02)
