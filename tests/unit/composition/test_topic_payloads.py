"""Updates are found again on the topic on which they came, whatever else is written to it."""

import random

import pytest

from flobc.adapters.memory import MemoryBroker
from flobc.composition.archive.topics import TopicPayloads
from flobc.errors import TransientError
from flobc.ports.payloads import Payload
from flobc.ports.topics import Topic
from flobc.protocol.messages import compute_update_id
from flobc.runtime.transfer import build_records
from tests.support.payloads import build_payload

PARTITIONS = 3


def open_topic(broker: MemoryBroker) -> Topic:
    return broker.open("updates", PARTITIONS)


def send(topic: Topic, *payloads: Payload) -> None:
    """Send several at a time: the records of one trainer in order, those of different ones mixed."""
    queues = [(payload.header.trainer, list(build_records(payload))) for payload in payloads]
    rng = random.Random(1)
    while queues:
        trainer, records = rng.choice(queues)
        topic.append(trainer, records.pop(0))
        queues = [queue for queue in queues if queue[1]]


def test_each_payload_is_found_in_any_order_and_again() -> None:
    broker = MemoryBroker()
    sent = [build_payload(trainer, k=k, chunks=(b"a" * 9, bytes([trainer]))) for trainer in range(5) for k in range(3)]
    send(open_topic(broker), *sent)
    found = TopicPayloads(lambda: open_topic(broker))
    for payload in [*reversed(sent), *sent]:
        assert found.get(compute_update_id(payload.header)) == payload


def test_what_is_half_there_or_was_never_sent_is_not_found() -> None:
    broker = MemoryBroker()
    topic = open_topic(broker)
    whole, half, unsent = build_payload(0), build_payload(1), build_payload(2)
    send(topic, whole)
    for record in list(build_records(half))[:-1]:
        topic.append(half.header.trainer, record)
    found = TopicPayloads(lambda: open_topic(broker))
    assert found.get(compute_update_id(half.header)) is None
    assert found.get(compute_update_id(unsent.header)) is None
    assert found.get(compute_update_id(whole.header)) == whole


def test_garbage_and_repeated_parts_are_passed_over() -> None:
    broker = MemoryBroker()
    topic = open_topic(broker)
    payload = build_payload(0)
    header, *chunks = build_records(payload)
    for record in (header, b"garbage", chunks[0], header, chunks[0], b"\x00", chunks[1]):
        topic.append(payload.header.trainer, record)
    assert TopicPayloads(lambda: open_topic(broker)).get(compute_update_id(payload.header)) == payload


def test_what_comes_later_is_not_waited_for() -> None:
    broker = MemoryBroker()
    topic = open_topic(broker)
    first, later = build_payload(0), build_payload(1)
    send(topic, first)
    found = TopicPayloads(lambda: open_topic(broker))
    assert found.get(compute_update_id(first.header)) == first
    send(topic, later)
    assert found.get(compute_update_id(later.header)) is None
    assert found.get(compute_update_id(first.header)) == first


def test_an_empty_topic_holds_nothing() -> None:
    assert TopicPayloads(lambda: open_topic(MemoryBroker())).get(bytes(32)) is None


def test_invalid_a_topic_that_is_away_is_no_missing_payload() -> None:
    broker = MemoryBroker()
    send(open_topic(broker), build_payload(0))
    broker.set_away(True)
    with pytest.raises(TransientError):
        TopicPayloads(lambda: open_topic(broker)).get(bytes(32))
