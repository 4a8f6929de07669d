"""What comes from outside enters a loop on its own thread, in order, and never more than the loop keeps up with."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from flobc.adapters.memory import MemoryBroker, MemoryTopic
from flobc.errors import DataError, FlobcError, TransientError
from flobc.ports.topics import Entry
from flobc.runtime.readers import MAX_WAITING_BATCHES, TopicReader
from flobc.runtime.scheduling import WallScheduler
from tests.support.hand_scheduler import HandScheduler


@pytest.fixture
def scheduler() -> Iterator[WallScheduler]:
    with ThreadPoolExecutor(1) as pool:
        yield WallScheduler(pool, attended=True)


class Reading:
    """A reader, what it handed over, and on which threads."""

    def __init__(self, topic: MemoryTopic, scheduler: WallScheduler | HandScheduler) -> None:
        self.entries: list[Entry] = []
        self.threads: set[int] = set()
        self.failures: list[FlobcError] = []
        self.reader = TopicReader(topic, scheduler, self._take, self.failures.append)

    def _take(self, entries: list[Entry]) -> None:
        self.threads.add(threading.get_ident())
        self.entries += entries


class CountedTopic(MemoryTopic):
    """One record a read, for ever, with a note of how many were read."""

    def __init__(self) -> None:
        super().__init__("log", MemoryBroker().open("log")._log)
        self.reads = 0
        self.is_read = threading.Condition()

    def read(self, timeout_s: float) -> list[Entry]:
        with self.is_read:
            self.reads += 1
            self.is_read.notify_all()
            return [Entry(0, self.reads - 1, b"record")]


def test_records_arrive_in_order_on_the_loops_thread(scheduler: WallScheduler) -> None:
    broker = MemoryBroker()
    topic, writer = broker.open("log"), broker.open("log")
    reading = Reading(topic, scheduler)
    reading.reader.start({0: 0})
    for number in range(100):
        writer.append(b"", b"%d" % number)
    scheduler.run_until(lambda: len(reading.entries) == 100)
    reading.reader.stop(10)
    assert [entry.value for entry in reading.entries] == [b"%d" % number for number in range(100)]
    assert reading.threads == {threading.get_ident()}


def test_starts_where_it_is_told_to(scheduler: WallScheduler) -> None:
    topic = MemoryBroker().open("log")
    for number in range(4):
        topic.append(b"", b"%d" % number)
    reading = Reading(topic, scheduler)
    reading.reader.start({0: 3})
    scheduler.run_until(lambda: bool(reading.entries))
    reading.reader.stop(10)
    assert reading.entries == [Entry(0, 3, b"3")]


def test_a_topic_that_is_away_is_tried_again(scheduler: WallScheduler) -> None:
    broker = MemoryBroker()
    topic = broker.open("log")
    topic.append(b"", b"record")
    broker.set_away(True)
    reading = Reading(topic, scheduler)
    reading.reader.start({0: 0})
    scheduler.call_later(50, lambda: broker.set_away(False))
    scheduler.run_until(lambda: bool(reading.entries))
    reading.reader.stop(10)
    assert reading.failures == []
    assert len(reading.entries) == 1


def test_what_can_never_succeed_is_told_on_the_loop_and_ends_the_reading(scheduler: WallScheduler) -> None:
    broker = MemoryBroker()
    topic = broker.open("log")
    for number in range(3):
        topic.append(b"", b"%d" % number)
    broker.forget("log", 0, 2)
    reading = Reading(topic, scheduler)
    reading.reader.start({0: 0})
    scheduler.run_until(lambda: bool(reading.failures))
    assert isinstance(reading.failures[0], DataError)
    assert not isinstance(reading.failures[0], TransientError)
    reading.reader.stop(10)
    assert reading.entries == []
    assert len(reading.failures) == 1


def test_a_loop_that_is_busy_is_not_buried() -> None:
    """What a flooder sends faster than it can be handled stays with the broker."""
    scheduler, topic = HandScheduler(), CountedTopic()
    reading = Reading(topic, scheduler)
    reading.reader.start({0: 0})
    most = MAX_WAITING_BATCHES + 1
    with topic.is_read:
        assert topic.is_read.wait_for(lambda: topic.reads == most, 10)
        assert not topic.is_read.wait_for(lambda: topic.reads > most, 0.2)
    assert scheduler.run_until(lambda: len(reading.entries) >= 3 * most)
    reading.reader.stop(10)
    assert not reading.reader._thread.is_alive()
    scheduler.run()
    assert [entry.offset for entry in reading.entries] == list(range(len(reading.entries)))


def test_stops_although_the_loop_takes_nothing_any_more() -> None:
    topic = CountedTopic()
    reading = Reading(topic, HandScheduler())
    reading.reader.start({0: 0})
    with topic.is_read:
        assert topic.is_read.wait_for(lambda: topic.reads == MAX_WAITING_BATCHES + 1, 10)
    reading.reader.stop(10)
    assert not reading.reader._thread.is_alive()


def test_an_attended_loop_waits_for_posts_and_an_unattended_one_ends() -> None:
    with ThreadPoolExecutor(1) as pool:
        assert WallScheduler(pool).run_until(lambda: False) is False
        scheduler = WallScheduler(pool, attended=True)
        seen: list[int] = []
        timer = threading.Timer(0.3, lambda: scheduler.post(lambda: seen.append(threading.get_ident())))
        timer.start()
        assert scheduler.run_until(lambda: bool(seen))
        assert seen == [threading.get_ident()]


def test_posts_of_one_thread_keep_their_order_and_delay_no_timer() -> None:
    with ThreadPoolExecutor(1) as pool:
        scheduler = WallScheduler(pool, attended=True)
        seen: list[int] = []
        fired: list[int] = []

        def again() -> None:
            if not fired:
                scheduler.post(again)

        scheduler.post(again)  # the queue is never empty
        scheduler.call_later(20, lambda: fired.append(scheduler.now_ms))
        poster = threading.Thread(
            target=lambda: [scheduler.post(lambda n=number: seen.append(n)) for number in range(500)]  # type: ignore[misc]
        )
        poster.start()
        assert scheduler.run_until(lambda: len(seen) == 500 and bool(fired))
        poster.join()
        assert seen == list(range(500))
        assert fired[0] >= 20


def test_what_a_job_raises_is_raised_by_the_loop() -> None:
    with ThreadPoolExecutor(1) as pool:
        scheduler = WallScheduler(pool, attended=True)

        def fail() -> None:
            raise DataError("the disk holds something else; look at it")

        scheduler.submit("job", fail, 0, lambda _: None)
        with pytest.raises(DataError, match="the disk"):
            scheduler.run_until(lambda: False)
