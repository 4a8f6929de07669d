"""Topic: byte records in partitions that many append to and everybody reads alike."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass

import pytest
from kafka import TopicPartition
from kafka.admin import KafkaAdminClient

from flobc.adapters.kafka import KafkaSettings, KafkaTopic, ensure_topic
from flobc.adapters.memory import MemoryBroker
from flobc.errors import DataError, LocalProtocolError, TransientError
from flobc.ports.topics import Topic
from tests.support.spans import TRACE
from tests.support.topics import append_all, read_entries

PARTITIONS = 3
LARGEST_BYTES = 1_048_000
"""The largest record that every implementation takes, with its key."""


@dataclass(frozen=True)
class Place:
    """One topic: opens handles on it and drops old records as retention would."""

    open: Callable[[], Topic]
    forget: Callable[[int, int], None]


def build_memory_place(partitions: int) -> Place:
    broker = MemoryBroker()
    return Place(lambda: broker.open("t", partitions), lambda number, before: broker.forget("t", number, before))


def build_kafka_place(address: str, partitions: int, cleanup: ExitStack) -> Place:
    settings, name = KafkaSettings(address), f"topic-{uuid.uuid4().hex}"
    ensure_topic(settings, name, partitions, None)

    def open_handle() -> Topic:
        topic = KafkaTopic(settings, name)
        cleanup.callback(topic.close, 5)
        return topic

    def forget(number: int, before: int) -> None:
        admin = KafkaAdminClient(bootstrap_servers=address)
        admin.delete_records({TopicPartition(name, number): before})
        admin.close()

    return Place(open_handle, forget)


@pytest.fixture(params=["memory", pytest.param("kafka", marks=pytest.mark.integration)])
def build(request: pytest.FixtureRequest) -> Iterator[Callable[[int], Place]]:
    with ExitStack() as cleanup:
        if request.param == "memory":
            yield build_memory_place
        else:
            address = request.getfixturevalue("kafka_address")
            yield lambda partitions: build_kafka_place(address, partitions, cleanup)


@pytest.fixture
def place(build: Callable[[int], Place]) -> Place:
    return build(PARTITIONS)


@pytest.fixture
def log(build: Callable[[int], Place]) -> Place:
    """One partition, as a chain's log has."""
    return build(1)


def test_an_empty_topic_ends_where_it_starts(place: Place) -> None:
    topic = place.open()
    assert topic.partitions == PARTITIONS
    assert topic.ends() == dict.fromkeys(range(PARTITIONS), 0)


def test_records_of_one_key_keep_their_order(place: Place) -> None:
    topic = place.open()
    sent = [(b"key %d" % (number % 7), b"%d" % number) for number in range(210)]
    append_all(topic, sent)
    found = read_entries(place.open(), len(sent))
    partitions = set()
    for key in {key for key, _ in sent}:
        values = [value for other, value in sent if other == key]
        entries = [entry for entry in found if entry.value in values]
        assert [entry.value for entry in entries] == values
        assert len({entry.partition for entry in entries}) == 1
        partitions.add(entries[0].partition)
    assert len(partitions) > 1


def test_offsets_grow_up_to_the_end(place: Place) -> None:
    topic = place.open()
    append_all(topic, [(b"%d" % number, b"record") for number in range(50)])
    found = read_entries(topic, 50)
    for number, end in topic.ends().items():
        offsets = [entry.offset for entry in found if entry.partition == number]
        assert offsets == sorted(set(offsets))
        assert max(offsets, default=-1) + 1 == end


def test_two_readers_see_the_same_and_so_does_one_that_comes_later(log: Place) -> None:
    writers, early = [log.open(), log.open()], log.open()
    assert early.read(0) == []
    with ThreadPoolExecutor(2) as executor:
        batches = [[(b"w%d" % writer, b"%d %d" % (writer, number)) for number in range(40)] for writer in range(2)]
        list(executor.map(append_all, writers, batches))
    seen = read_entries(early, 80)
    assert len(seen) == 80
    assert read_entries(log.open(), 80) == seen


def test_reads_what_comes_in_while_it_waits(log: Place) -> None:
    reader, writer = log.open(), log.open()
    with ThreadPoolExecutor(1) as executor:
        waiting = executor.submit(read_entries, reader, 1)
        append_all(writer, [(b"key", b"record")])
        assert [entry.value for entry in waiting.result()] == [b"record"]


def test_many_threads_append_through_one_handle(place: Place) -> None:
    topic = place.open()
    with ThreadPoolExecutor(8) as executor:
        list(
            executor.map(
                lambda key: append_all(topic, [(b"%d" % key, b"%d" % number) for number in range(20)]), range(8)
            )
        )
    assert len(read_entries(topic, 160)) == 160


def test_seeks_to_an_offset_and_back_to_the_oldest(log: Place) -> None:
    topic = log.open()
    append_all(topic, [(b"key", b"%d" % number) for number in range(10)])
    found = read_entries(topic, 10)
    topic.seek({0: found[6].offset})
    assert read_entries(topic, 4) == found[6:]
    topic.seek({})
    assert read_entries(topic, 10) == found
    topic.seek(topic.ends())
    assert topic.read(0.2) == []
    append_all(topic, [(b"key", b"next")])
    assert [entry.value for entry in read_entries(topic, 1)] == [b"next"]


def test_partitions_that_are_not_named_start_at_their_oldest(place: Place) -> None:
    topic = place.open()
    append_all(topic, [(b"%d" % number, b"%d" % number) for number in range(30)])
    ends = topic.ends()
    topic.seek({0: ends[0]})
    found = read_entries(topic, 30 - ends[0])
    assert {entry.partition for entry in found} == {1, 2}
    assert len(found) == 30 - ends[0]


def test_an_empty_read_comes_back_in_time(log: Place) -> None:
    topic = log.open()
    before_s = time.monotonic()
    assert topic.read(0.3) == []
    assert time.monotonic() - before_s > 0.25
    assert topic.read(0) == []


@pytest.mark.parametrize("positions", [{7: 0}, {-1: 0}, {0: -1}])
def test_invalid_positions_are_refused(place: Place, positions: dict[int, int]) -> None:
    with pytest.raises(DataError, match="partition"):
        place.open().seek(positions)


def test_invalid_position_past_the_end_is_no_wait(log: Place) -> None:
    """A log that lost its tail must not be taken for one that is quiet."""
    topic = log.open()
    append_all(topic, [(b"key", b"record")])
    topic.seek({0: 2})
    with pytest.raises(DataError, match=r"partition 0.*2"):
        read_entries(topic, 1)


def test_invalid_position_before_the_oldest_is_no_skip(log: Place) -> None:
    topic = log.open()
    append_all(topic, [(b"key", b"%d" % number) for number in range(5)])
    log.forget(0, 3)
    topic.seek({0: 2})
    for _ in range(2):
        with pytest.raises(DataError, match=r"partition 0.*2"):
            read_entries(topic, 1)
    topic.seek({})
    assert [entry.offset for entry in read_entries(topic, 2)] == [3, 4]


def test_a_reader_that_retention_overtook_says_so(log: Place) -> None:
    topic = log.open()
    append_all(topic, [(b"key", b"first")])
    assert len(read_entries(topic, 1)) == 1
    writer = log.open()
    append_all(writer, [(b"key", b"%d" % number) for number in range(5)])
    log.forget(0, 4)
    late = log.open()
    late.seek({0: 1})
    with pytest.raises(DataError):
        read_entries(late, 1)


def test_invalid_records_are_refused_and_add_nothing(log: Place) -> None:
    topic = log.open()
    with pytest.raises(LocalProtocolError, match="WIRE-10"):
        topic.append(b"key", b"")
    with pytest.raises(LocalProtocolError, match="WIRE-11"):
        topic.append(b"key", bytes(1_048_577))
    assert topic.ends() == {0: 0}


def test_the_largest_records_arrive_whole(log: Place) -> None:
    topic = log.open()
    values = [bytes([number]) * (LARGEST_BYTES - len(b"key")) for number in range(1, 6)]
    append_all(topic, [(b"key", value) for value in values])
    assert [entry.value for entry in read_entries(topic, 5)] == values


def test_what_was_appended_is_there_after_closing(log: Place) -> None:
    topic = log.open()
    futures = [topic.append(b"key", b"%d" % number) for number in range(100)]
    topic.close(30)
    for future in futures:
        future.result(0)
    with pytest.raises(TransientError):
        topic.append(b"key", b"late")
    assert len(read_entries(log.open(), 100)) == 100


def test_traces_go_beside_a_record_and_change_nothing_of_it(log: Place) -> None:
    """WIRE-15."""
    writer, reader = log.open(), log.open()
    other = TRACE.replace("a", "c")
    writer.append(b"key", b"plain").result(60)
    writer.append(b"key", b"one", [TRACE]).result(60)
    writer.append(b"key", b"three", [TRACE, "", other]).result(60)
    found = read_entries(reader, 3)
    assert [(entry.value, entry.traces) for entry in found] == [
        (b"plain", ()),
        (b"one", (TRACE,)),
        (b"three", (TRACE, "", other)),
    ]
