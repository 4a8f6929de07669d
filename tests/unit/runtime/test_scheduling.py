"""The two clocks: events in order of virtual time, results one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.ports.scheduler import Scheduler
from flobc.runtime.scheduling import VirtualScheduler, WallScheduler


@pytest.fixture(params=[1, 4])
def executor(request: pytest.FixtureRequest) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(request.param) as pool:
        yield pool


@pytest.fixture(params=[VirtualScheduler, WallScheduler])
def scheduler(request: pytest.FixtureRequest, executor: ThreadPoolExecutor) -> Scheduler:
    found: Scheduler = request.param(executor)
    return found


def test_results_reach_the_loop_on_its_own_thread(scheduler: Scheduler) -> None:
    seen: list[tuple[int, int]] = []
    for number in range(8):
        scheduler.submit(threading.get_ident, 1, lambda worker, n=number: seen.append((n, worker)))  # type: ignore[misc]
    here = threading.get_ident()
    threads: set[int] = set()

    def finished() -> bool:
        threads.add(threading.get_ident())
        return len(seen) == 8

    assert scheduler.run_until(finished)
    assert sorted(number for number, _ in seen) == list(range(8))
    assert threads == {here}
    assert here not in {worker for _, worker in seen}


def test_false_when_nothing_is_left_that_could_finish(scheduler: Scheduler) -> None:
    scheduler.submit(lambda: None, 1, lambda _: None)
    scheduler.call_later(1, lambda: None)
    assert not scheduler.run_until(lambda: False)


def test_finished_at_once_waits_for_nothing(scheduler: Scheduler) -> None:
    fired: list[int] = []
    scheduler.call_later(0, lambda: fired.append(1))
    assert scheduler.run_until(lambda: True)
    assert fired == []


def test_what_a_job_raises_is_raised_on_the_loop(scheduler: Scheduler) -> None:
    def fail() -> None:
        raise ValueError("a defect in the task")

    scheduler.submit(fail, 1, lambda _: None)
    with pytest.raises(ValueError, match="a defect in the task"):
        scheduler.run_until(lambda: False)


def test_a_callback_may_plan_the_next(scheduler: Scheduler) -> None:
    steps: list[int] = []

    def step() -> None:
        steps.append(scheduler.now_ms)
        if len(steps) < 4:
            scheduler.call_later(2, step)

    scheduler.call_later(2, step)
    assert scheduler.run_until(lambda: len(steps) == 4)
    assert steps == sorted(steps)
    assert steps[-1] - steps[0] >= 6


@given(st.lists(st.tuples(st.integers(0, 50), st.booleans()), max_size=30))
def test_virtual_events_come_by_time_and_then_by_order(plan: list[tuple[int, bool]]) -> None:
    """SYNC-9: ties are broken by the order of submission, however long the work takes."""
    seen: list[tuple[int, int]] = []
    with ThreadPoolExecutor(2) as executor:
        scheduler = VirtualScheduler(executor)
        for number, (at_ms, is_work) in enumerate(plan):

            def note(_: object = None, number: int = number) -> None:
                seen.append((scheduler.now_ms, number))

            if is_work:
                scheduler.submit(lambda: None, at_ms, note)
            else:
                scheduler.call_later(at_ms, note)
        scheduler.run_until(lambda: False)
    assert seen == sorted((at_ms, number) for number, (at_ms, _) in enumerate(plan))


def test_virtual_time_passes_without_waiting() -> None:
    with ThreadPoolExecutor(1) as executor:
        scheduler = VirtualScheduler(executor)
        fired: list[int] = []
        scheduler.call_later(10**12, lambda: fired.append(scheduler.now_ms))
        assert scheduler.run_until(lambda: bool(fired))
    assert fired == [10**12]


def test_the_wall_clock_does_not_let_timers_starve() -> None:
    """A timer fires although results keep coming."""
    fired: list[int] = []
    with ThreadPoolExecutor(2) as executor:
        scheduler = WallScheduler(executor)
        scheduler.call_later(5, lambda: fired.append(1))

        def again(_: None) -> None:
            scheduler.submit(lambda: None, 0, again)

        again(None)
        assert scheduler.run_until(lambda: bool(fired))
