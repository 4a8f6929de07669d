"""The port UsageMeter over a local system's processes and this machine, as Linux's /proc tells."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from pathlib import Path

from flobc.composition.local.plan import list_processes
from flobc.ports.scaler import Usage

_PROC = Path("/proc")
_IDLE = (3, 4)
"""Fields of the machine's line that are idle time: idle and iowait."""
_COUNTED = 8
"""The fields after these are guests', which user time counts already."""
MACHINE = "this machine"


class ProcessMeter:
    """Processor seconds of a system's services with their children, and of the machine; empty without /proc."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._tick_s = 1 / os.sysconf("SC_CLK_TCK")
        self._cores = os.cpu_count() or 1

    def read(self) -> Usage:
        """Return what was used so far; of a process that ended nothing is known any more."""
        machine_s = self._read_machine()
        if machine_s is None:
            return Usage(time.monotonic(), {}, {}, {})
        children = _find_children()
        found: dict[str, float] = defaultdict(float)
        for name, pid in list_processes(self._root).items():
            if pid is not None:
                found[name.partition("-")[0]] += sum(map(self._read_process, _list_family(pid, children)))
        return Usage(time.monotonic(), dict(found), {MACHINE: machine_s}, {MACHINE: self._cores})

    def _read_machine(self) -> float | None:
        try:
            fields = (_PROC / "stat").read_text().splitlines()[0].split()[1 : _COUNTED + 1]
        except OSError:
            return None
        return sum(int(field) for place, field in enumerate(fields) if place not in _IDLE) * self._tick_s

    def _read_process(self, pid: int) -> float:
        fields = _read_stat(pid)
        return (int(fields[11]) + int(fields[12])) * self._tick_s if fields else 0.0


def _find_children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in _PROC.iterdir():
        if entry.name.isdigit() and (fields := _read_stat(int(entry.name))):
            children[int(fields[1])].append(int(entry.name))
    return children


def _list_family(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(item for child in children[pid] for item in _list_family(child, children))]


def _read_stat(pid: int) -> list[str]:
    """What the kernel says of a process after its name; empty when it has ended."""
    try:
        return (_PROC / str(pid) / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []
