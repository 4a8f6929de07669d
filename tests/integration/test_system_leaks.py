"""Two hundred rounds: no service's memory or number of open files grows with the chain."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.resources import Course, sample
from tests.support.system import WholeSystem, whole_system

WARM_UP = 50
"""Rounds in which pools and interpreters fill; the cache of checked signatures takes 4,096, some 200 rounds."""
ROUNDS = 200
SAMPLE_EVERY = 3
LONG_S = 600.0
MAX_KIB_A_ROUND = 50.0
MAX_DESCRIPTORS_A_ROUND = 1 / 50
SERVICES = ("trainer", "validator", "ledger")
"""Redis holds the chain itself, and Kafka's heap goes up and down within its bound; they are printed only."""
OPTIONS = (
    *("--task", "tests.support.paced_task:quick", "--trainers", "3", "--validators", "4", "--period", "5"),
    *("--sync", "ssp"),
)


@pytest.mark.soak
def test_memory_and_open_files_are_flat_over_two_hundred_rounds(tmp_path: Path) -> None:
    with whole_system(tmp_path / "chain", OPTIONS, ledgers=2) as system:
        system.wait_for_height(WARM_UP, LONG_S)
        before = system.list_processes()
        courses = watch(system, WARM_UP + ROUNDS)
        assert system.list_processes() == before, "a process ended: its figures are not one course"
    print_table(courses)
    growing = [
        name
        for name, course in courses.items()
        if name.startswith(SERVICES)
        and (course.kib_a_round > MAX_KIB_A_ROUND or course.descriptors_a_round > MAX_DESCRIPTORS_A_ROUND)
    ]
    assert not growing, f"these grow from round to round: {', '.join(growing)}"


def watch(system: WholeSystem, last: int) -> dict[str, Course]:
    """Take a sample every few rounds."""
    courses: dict[str, Course] = {}
    height = system.read_height()
    while height < last:
        sample(courses, system.list_processes(), height)
        system.wait_for_height(height + SAMPLE_EVERY, LONG_S)
        height = system.read_height()
    return courses


def print_table(courses: dict[str, Course]) -> None:
    titles = ("samples", "MiB first", "MiB last", "KiB a round", "its 2nd half", "files", "a round")
    widths = (8, 10, 10, 12, 12, 11, 8)
    print(
        "\n" + " ".join(["service     ", *(f"{title:>{width}}" for title, width in zip(titles, widths, strict=True))])
    )
    for name, course in sorted(courses.items()):
        first, last = course.rss_kib[0] / 1024, course.rss_kib[-1] / 1024
        files = f"{course.descriptors[0]} to {course.descriptors[-1]}"
        print(
            f"{name:12} {len(course.heights):8} {first:10.1f} {last:10.1f} {course.kib_a_round:12.1f} "
            f"{course.get_later_half().kib_a_round:12.1f} {files:>11} {course.descriptors_a_round:8.3f}"
        )
