"""What processes use, by role: processor time and memory with their children, and bytes through their ports."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

from flobc.composition.local.plan import load_plan

_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_PAGE_MIB = os.sysconf("SC_PAGE_SIZE") / 2**20


@dataclass(frozen=True)
class Usage:
    """Processor seconds so far and memory now, of all processes of a role."""

    cpu_s: float
    rss_mib: float


def measure_usage(processes: dict[str, int | None]) -> dict[str, Usage]:
    """Return what each role uses; ``processes`` are numbers by name, as ``trainer-3``."""
    children = _find_children()
    found: dict[str, list[Usage]] = defaultdict(list)
    for name, pid in processes.items():
        if pid is not None:
            found[name.partition("-")[0]] += [_read(item) for item in _list_family(pid, children)]
    return {
        role: Usage(sum(usage.cpu_s for usage in items), sum(usage.rss_mib for usage in items))
        for role, items in found.items()
    }


def count_bytes(root: Path) -> dict[tuple[str, str], int]:
    """Return the bytes each server's open connections have sent and taken in; empty where there is no ``ss``.

    Clients keep their connections, so the difference of two counts is what passed in between.
    """
    if shutil.which("ss") is None:
        return {}
    plan = load_plan(root)
    ports = {"Kafka": [plan.kafka], "Redis": [plan.redis], "ledger": plan.ledgers, "validators": plan.validators}
    found: dict[tuple[str, str], int] = {}
    for server, addresses in ports.items():
        for address in addresses:
            command = ["ss", "-tinH", "state", "established", f"sport = :{address.rpartition(':')[2]}"]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            for field, way in (("bytes_sent", "out of"), ("bytes_received", "into")):
                size = sum(int(number) for number in re.findall(rf"{field}:(\d+)", text))
                found[way, server] = found.get((way, server), 0) + size
    return found


def subtract_bytes(after: dict[tuple[str, str], int], before: dict[tuple[str, str], int]) -> dict[str, float]:
    return {f"{way} {server}": after[way, server] - before[way, server] for way, server in after}


def _find_children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            children[int(fields[1])].append(int(entry.name))
    return children


def _list_family(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(item for child in children[pid] for item in _list_family(child, children))]


def _read(pid: int) -> Usage:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return Usage(0, 0)
    return Usage((int(fields[11]) + int(fields[12])) * _TICK_S, int(fields[21]) * _PAGE_MIB)
