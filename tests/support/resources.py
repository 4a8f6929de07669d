"""What each service of a system holds, round by round: memory and file descriptors, its children's included."""

from __future__ import annotations

import os
import statistics
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

_PAGE_KIB = os.sysconf("SC_PAGE_SIZE") / 1024


@dataclass
class Course:
    """How a service's figures went: one entry for each sample, at these heights."""

    heights: list[int] = field(default_factory=list)
    rss_kib: list[float] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)

    @property
    def kib_a_round(self) -> float:
        """The median slope between any two samples (Theil-Sen): one jump up or down does not move it."""
        return _compute_slope(self.heights, self.rss_kib)

    @property
    def descriptors_a_round(self) -> float:
        """As ``kib_a_round``, of open file descriptors."""
        return _compute_slope(self.heights, self.descriptors)

    def get_later_half(self) -> Course:
        """The course without its first half: what fills up and then stays grows less in it."""
        half = len(self.heights) // 2
        return Course(self.heights[half:], self.rss_kib[half:], self.descriptors[half:])


def sample(courses: dict[str, Course], processes: dict[str, int | None], height: int) -> None:
    """Add what every running process holds now to its course."""
    children = _find_children()
    for name, pid in processes.items():
        if pid is None:
            continue
        family = _list_family(pid, children)
        course = courses.setdefault(name, Course())
        course.heights.append(height)
        course.rss_kib.append(sum(map(_read_rss_kib, family)))
        course.descriptors.append(sum(map(_count_descriptors, family)))


def read_peak_kib(processes: dict[str, int | None]) -> dict[str, int]:
    """The most memory that each service's processes had at any time, added up, by service."""
    children = _find_children()
    return {
        name: sum(_read_status_kib(item, "VmHWM") for item in _list_family(pid, children))
        for name, pid in processes.items()
        if pid is not None
    }


def _compute_slope(xs: list[int], ys: list[float] | list[int]) -> float:
    points = combinations(zip(xs, ys, strict=True), 2)
    return statistics.median((y2 - y1) / (x2 - x1) for (x1, y1), (x2, y2) in points if x2 != x1)


def _find_children() -> dict[int, list[int]]:
    children: dict[int, list[int]] = defaultdict(list)
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue  # it has ended meanwhile
            children[int(fields[1])].append(int(entry.name))
    return children


def _list_family(pid: int, children: dict[int, list[int]]) -> list[int]:
    return [pid, *(item for child in children[pid] for item in _list_family(child, children))]


def _read_rss_kib(pid: int) -> float:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KIB
    except OSError:
        return 0.0


def _read_status_kib(pid: int, name: str) -> int:
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith(f"{name}:")), 0)


def _count_descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0
