"""What a topic in memory can do that tests need and Kafka does by itself: be away, and forget."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from flobc.adapters.memory import MemoryBroker, MemoryTopic
from flobc.errors import TransientError, UsageError


@pytest.mark.parametrize(
    "action", [lambda topic: topic.append(b"key", b"lost"), lambda topic: topic.read(5), lambda topic: topic.ends()]
)
def test_what_is_done_while_it_is_away_fails_and_nothing_is_lost(action: Callable[[MemoryTopic], object]) -> None:
    broker = MemoryBroker()
    topic = broker.open("t")
    topic.append(b"key", b"before")
    broker.set_away(True)
    with pytest.raises(TransientError, match="away"):
        action(topic)
    broker.set_away(False)
    topic.append(b"key", b"after")
    assert [entry.value for entry in topic.read(0)] == [b"before", b"after"]


def test_who_waits_for_records_hears_that_it_is_away() -> None:
    broker = MemoryBroker()
    topic = broker.open("t")
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(topic.read, 60)
        broker.set_away(True)
        with pytest.raises(TransientError):
            waiting.result(30)


def test_a_topic_has_one_number_of_partitions() -> None:
    broker = MemoryBroker()
    broker.open("t", 2)
    with pytest.raises(UsageError, match="has 2 partitions, expected 3"):
        broker.open("t", 3)
