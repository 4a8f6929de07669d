"""Sending to the updates topic: everybody is told, order is kept, and a Kafka that is gone keeps nobody."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from concurrent.futures import Future

import pytest

from flobc.adapters.memory import MemoryBroker, MemoryTopic
from flobc.errors import FlobcError, UsageError
from flobc.ports.topics import Entry
from flobc.runtime.update_sender import UpdateSender
from tests.support.hand_scheduler import HandScheduler

STOP_S = 1.0


class SilentTopic:
    """Takes everything and acknowledges nothing, as a Kafka that went away; or does not even take it."""

    partitions = 1

    def __init__(self, *, blocks: bool = False) -> None:
        self.blocks = blocks
        self.called = threading.Event()
        self.released = threading.Event()

    def append(self, key: bytes, value: bytes, traces: object = ()) -> Future[None]:
        self.called.set()
        if self.blocks:
            self.released.wait(30)
        return Future()

    def read(self, timeout_s: float) -> list[Entry]:
        raise NotImplementedError

    def seek(self, positions: object) -> None:
        raise NotImplementedError

    def ends(self) -> dict[int, int]:
        raise NotImplementedError

    def close(self, timeout_s: float) -> None:
        self.released.set()


@pytest.fixture
def broker() -> MemoryBroker:
    return MemoryBroker()


@pytest.fixture
def topic(broker: MemoryBroker) -> MemoryTopic:
    return broker.open("updates")


@pytest.fixture
def scheduler() -> HandScheduler:
    return HandScheduler()


@pytest.fixture
def sender(topic: MemoryTopic, scheduler: HandScheduler) -> Iterator[UpdateSender]:
    made = UpdateSender(topic, scheduler)
    made.start()
    yield made
    made.stop(STOP_S)


def test_records_arrive_in_order_and_everybody_is_told(
    sender: UpdateSender, topic: MemoryTopic, scheduler: HandScheduler
) -> None:
    told: list[tuple[int, bool]] = []
    for number in range(20):
        records = [b"%d/%d" % (number, part) for part in range(3)]
        sender.send(b"trainer", records, lambda sent, number=number: told.append((number, sent)))  # type: ignore[misc]
    assert scheduler.run_until(lambda: len(told) == 20)
    assert told == [(number, True) for number in range(20)]
    values = [entry.value for entry in topic.read(0.0)]
    assert values == [b"%d/%d" % (number, part) for number in range(20) for part in range(3)]


def test_what_was_not_taken_is_told_so(sender: UpdateSender, broker: MemoryBroker, scheduler: HandScheduler) -> None:
    told: list[bool] = []
    broker.set_away(True)
    sender.send(b"trainer", [b"lost"], told.append)
    assert scheduler.run_until(lambda: len(told) == 1)
    broker.set_away(False)
    sender.send(b"trainer", [b"there"], told.append)
    assert scheduler.run_until(lambda: len(told) == 2)
    assert told == [False, True]


@pytest.mark.parametrize("blocks", [False, True])
def test_a_topic_that_does_not_answer_keeps_nobody_from_ending(scheduler: HandScheduler, blocks: bool) -> None:
    topic = SilentTopic(blocks=blocks)
    sender = UpdateSender(topic, scheduler)
    sender.start()
    sender.send(b"trainer", [b"record"], lambda _: pytest.fail("nobody knows what became of it"))
    assert topic.called.wait(10)
    start_s = time.monotonic()
    sender.stop(0.2 if blocks else 10.0)
    assert time.monotonic() - start_s < 5.0
    topic.close(0)
    sender._thread.join(10)
    assert not sender._thread.is_alive()
    scheduler.run()


def test_one_that_never_started_stops(topic: MemoryTopic, scheduler: HandScheduler) -> None:
    UpdateSender(topic, scheduler).stop(STOP_S)


def test_what_no_trying_again_can_mend_is_handed_on(broker: MemoryBroker, scheduler: HandScheduler) -> None:
    class Refusing(MemoryTopic):
        def append(self, key: bytes, value: bytes, traces: object = ()) -> Future[None]:
            raise UsageError("Kafka refuses it.")

    failures: list[FlobcError] = []
    told: list[bool] = []
    sender = UpdateSender(Refusing("updates", broker.open("updates")._log), scheduler, failures.append)
    sender.start()
    sender.send(b"trainer", [b"record"], told.append)
    assert scheduler.run_until(lambda: bool(failures) and bool(told))
    assert told == [False]
    assert str(failures[0]) == "Kafka refuses it."
    sender.stop(10)
