"""The two clocks: events in order of virtual time, results one at a time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.ports.scheduler import Scheduler
from flobc.runtime.scheduling import HANDOVER_S, VirtualScheduler, WallScheduler


@pytest.fixture(params=[1, 4])
def executor(request: pytest.FixtureRequest) -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(request.param) as pool:
        yield pool


@pytest.fixture(params=[VirtualScheduler, WallScheduler])
def scheduler(request: pytest.FixtureRequest, executor: ThreadPoolExecutor) -> Scheduler:
    found: Scheduler = request.param(executor)
    return found


def work_and_name_the_thread() -> int:
    """Takes longer than a hand-over, so that it is always handed over."""
    until_s = time.thread_time() + 2 * HANDOVER_S
    while time.thread_time() < until_s:
        pass
    return threading.get_ident()


def test_results_reach_the_loop_on_its_own_thread(scheduler: Scheduler) -> None:
    seen: list[tuple[int, int]] = []
    for number in range(8):
        scheduler.submit("job", work_and_name_the_thread, 1, lambda worker, n=number: seen.append((n, worker)))  # type: ignore[misc]
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
    scheduler.submit("job", lambda: None, 1, lambda _: None)
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

    scheduler.submit("job", fail, 1, lambda _: None)
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
                scheduler.submit("job", lambda: None, at_ms, note)
            else:
                scheduler.call_later(at_ms, note)
        scheduler.run_until(lambda: False)
    assert seen == sorted((at_ms, number) for number, (at_ms, _) in enumerate(plan))


def test_short_work_is_done_by_the_loop_once_it_is_known_to_be_short() -> None:
    """In the same order; and handed over again as soon as it was long."""
    threads: list[int] = []
    long = [False, False, True, False]

    def work() -> int:
        return work_and_name_the_thread() if long[len(threads)] else threading.get_ident()

    with ThreadPoolExecutor(2) as executor:
        scheduler = VirtualScheduler(executor)

        def note(thread: int) -> None:
            threads.append(thread)
            if len(threads) < len(long):
                scheduler.submit("job", work, 1, note)

        scheduler.submit("job", work, 1, note)
        assert scheduler.run_until(lambda: len(threads) == len(long))
    here = threading.get_ident()
    assert [thread == here for thread in threads] == [False, True, True, False]


def test_what_short_work_raises_is_raised_on_the_loop() -> None:
    def fail() -> None:
        raise ValueError("a defect in the task")

    with ThreadPoolExecutor(1) as executor:
        scheduler = VirtualScheduler(executor)
        done: list[None] = []
        scheduler.submit("job", lambda: None, 1, done.append)
        assert scheduler.run_until(lambda: bool(done))
        scheduler.submit("job", fail, 1, done.append)
        with pytest.raises(ValueError, match="a defect in the task"):
            scheduler.run_until(lambda: False)


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
            scheduler.submit("job", lambda: None, 0, again)

        again(None)
        assert scheduler.run_until(lambda: bool(fired))
