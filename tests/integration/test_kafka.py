"""Kafka that dies, hangs, was never there or is not set up as it should be."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer
from kafka.admin import ConfigResource, KafkaAdminClient
from kafka.errors import MessageSizeTooLargeError

from flobc.adapters.kafka import KafkaSettings, KafkaTopic, check_topic, ensure_topic, get_version
from flobc.composition.local.kafka import LocalKafka, start_kafka
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.process import is_port_open
from flobc.errors import TransientError, UsageError
from flobc.ports.topics import Entry
from tests.support.brokers import start_or_skip
from tests.support.freezing import frozen
from tests.support.topics import PATIENCE_S, append_all, append_one, keep_trying, read_entries


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalKafka]:
    """A broker that these tests may kill; each leaves it running."""
    kafka = start_or_skip(tmp_path_factory.mktemp("kafka"))
    yield kafka
    kafka.stop()
    assert kafka.pid is None


@pytest.fixture
def name() -> str:
    return f"topic-{uuid.uuid4().hex}"


def impatient(address: str, **changes: float) -> KafkaSettings:
    times = {"connect_timeout_s": 3.0, "request_timeout_s": 2.0, "delivery_timeout_s": 4.0, "append_timeout_s": 5.0}
    return KafkaSettings(address, **{**times, **changes})  # type: ignore[arg-type]


@contextmanager
def opened(settings: KafkaSettings, name: str) -> Iterator[KafkaTopic]:
    topic = keep_trying(lambda: KafkaTopic(settings, name))
    try:
        yield topic
    finally:
        topic.close(1)


def start_again(kafka: LocalKafka) -> None:
    again = start_kafka(kafka.process.log.parent)
    assert again.address == kafka.address


def get_pid(kafka: LocalKafka) -> int:
    if kafka.runner.container:
        pytest.skip("a broker in a container cannot be frozen from outside")
    assert kafka.pid is not None
    return kafka.pid


def expect_transient(action: Callable[[], object], within_s: float) -> TransientError:
    before_s = time.monotonic()
    with pytest.raises(TransientError) as raised:
        action()
    assert time.monotonic() - before_s < within_s
    return raised.value


def test_acknowledged_records_survive_the_death_of_the_broker(broker: LocalKafka, name: str) -> None:
    settings = KafkaSettings(broker.address)
    ensure_topic(settings, name, 1, None)
    with opened(settings, name) as topic:
        append_all(topic, [(b"key", b"%d" % number) for number in range(200)])
        broker.kill()
        assert broker.pid is None
        start_again(broker)
    with opened(settings, name) as again:
        assert [entry.value for entry in read_entries(again, 200)] == [b"%d" % number for number in range(200)]


def test_an_outage_is_reported_in_time_and_then_overcome(broker: LocalKafka, name: str) -> None:
    """Both ends go on with the handles they had; nothing acknowledged is lost or turned round."""
    settings = impatient(broker.address)
    ensure_topic(settings, name, 1, None)
    with opened(settings, name) as writer, opened(settings, name) as reader:
        append_one(writer, b"before")
        broker.kill()
        for number in range(2):
            failure = expect_transient(lambda number=number: append_one(writer, b"lost %d" % number), 20)  # type: ignore[misc]
            assert broker.address in str(failure)
            assert failure.delay_s > 0
        assert [entry.value for entry in keep_reading_until_it_fails(reader)] in ([b"before"], [])
        start_again(broker)
        for number in range(20):
            keep_trying(lambda number=number: append_one(writer, b"after %d" % number))  # type: ignore[misc]
        reader.seek({})
        found: list[bytes] = []
        while not found or found[-1] != b"after 19":
            found += [entry.value for entry in keep_trying(lambda: reader.read(1))]
        # a record that failed may be there or not, but nothing that was tried once stands twice
        assert [value for value in found if not value.startswith(b"lost")] == [
            b"before",
            *(b"after %d" % number for number in range(20)),
        ]


def keep_reading_until_it_fails(reader: KafkaTopic) -> list[Entry]:
    found: list[Entry] = []
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        try:
            found += reader.read(0.5)
        except TransientError:
            return found
    pytest.fail("reading from a dead broker never failed")


def test_a_broker_that_hangs_is_reported_in_time(broker: LocalKafka, name: str) -> None:
    settings = impatient(broker.address)
    ensure_topic(settings, name, 1, None)
    with opened(settings, name) as topic:
        append_one(topic, b"before")
        with frozen(get_pid(broker)):
            expect_transient(lambda: append_one(topic, b"lost"), 30)
            expect_transient(topic.ends, 10)
            expect_transient(lambda: ensure_topic(settings, name, 1, None), 15)
        keep_trying(lambda: append_one(topic, b"after"))


def test_what_waits_for_a_broker_is_bounded(broker: LocalKafka, name: str) -> None:
    settings = impatient(broker.address, append_timeout_s=1.0, max_waiting_bytes=1_000_000)
    ensure_topic(settings, name, 1, None)
    with opened(settings, name) as topic:
        append_one(topic, b"before")
        with frozen(get_pid(broker)):
            futures = [topic.append(b"key", bytes([1]) * 300_000) for _ in range(3)]
            failure = expect_transient(lambda: topic.append(b"key", bytes([1]) * 300_000), 4)
            assert "wait to be acknowledged" in str(failure)
            for future in futures:
                expect_transient(future.result, 20)
        keep_trying(lambda: append_one(topic, b"after"))


def test_closing_does_not_wait_for_a_broker_that_hangs(broker: LocalKafka, name: str) -> None:
    settings = KafkaSettings(broker.address)
    ensure_topic(settings, name, 1, None)
    topic = KafkaTopic(settings, name)
    append_one(topic, b"before")
    with frozen(get_pid(broker)):
        future = topic.append(b"key", b"lost")
        before_s = time.monotonic()
        topic.close(0.5)
        assert time.monotonic() - before_s < 15
        expect_transient(lambda: future.result(1), 2)


def test_a_producer_that_died_is_made_anew(kafka_address: str, name: str) -> None:
    """After a fatal error the library's producer fails every record that it is given."""
    settings = impatient(kafka_address)
    ensure_topic(settings, name, 1, None)
    with opened(settings, name) as topic:
        append_one(topic, b"before")
        dead = topic._writer._producer
        assert dead is not None
        dead._transaction_manager.transition_to_fatal_error(RuntimeError("fenced"))
        expect_transient(lambda: append_one(topic, b"lost"), 10)
        keep_trying(lambda: append_one(topic, b"after"))
        assert topic._writer._producer is not dead
        assert not dead._sender.is_alive()


def test_a_consumer_that_shows_nothing_is_made_anew(
    kafka_address: str, name: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Without a record lost or read twice."""
    settings = impatient(kafka_address, request_timeout_s=1.0)
    ensure_topic(settings, name, 1, None)
    with opened(settings, name) as topic:
        append_one(topic, b"first")
        assert [entry.value for entry in read_entries(topic, 1)] == [b"first"]
        append_one(topic, b"second")
        deaf = topic._reader._consumer
        monkeypatch.setattr(deaf, "poll", lambda timeout_ms: time.sleep(timeout_ms / 1000) or {})
        assert [entry.value for entry in read_entries(topic, 1)] == [b"second"]
        assert topic._reader._consumer is not deaf
        append_one(topic, b"third")
        assert [entry.value for entry in read_entries(topic, 1)] == [b"third"]
    assert "reading it anew" in caplog.text


def test_a_consumer_at_the_end_is_kept(kafka_address: str, name: str) -> None:
    settings = impatient(kafka_address, request_timeout_s=0.6)
    ensure_topic(settings, name, 2, None)
    with opened(settings, name) as topic:
        append_one(topic, b"first")
        assert [entry.value for entry in read_entries(topic, 1)] == [b"first"]
        consumer, until_s = topic._reader._consumer, time.monotonic() + 3
        while time.monotonic() < until_s:
            assert topic.read(0.2) == []
        assert topic._reader._consumer is consumer


def test_kafka_that_is_not_there_is_no_hang_and_leaves_no_threads(name: str) -> None:
    settings = impatient(f"127.0.0.1:{find_free_port()}", connect_timeout_s=0.5)
    before = set(threading.enumerate())
    for _ in range(3):
        assert settings.address in str(expect_transient(lambda: KafkaTopic(settings, name), 5))
        expect_transient(lambda: ensure_topic(settings, name, 1, None), 5)
    assert set(threading.enumerate()) <= before


def test_a_host_without_address_is_no_hang(name: str) -> None:
    settings = impatient("nowhere.invalid:9092", connect_timeout_s=0.5)
    expect_transient(lambda: KafkaTopic(settings, name), 15)


def test_a_topic_that_is_not_there_yet_is_worth_waiting_for(kafka_address: str, name: str) -> None:
    failure = expect_transient(lambda: KafkaTopic(KafkaSettings(kafka_address), name), 10)
    assert name in str(failure)


def test_closing_leaves_no_threads(kafka_address: str, name: str) -> None:
    settings = KafkaSettings(kafka_address)
    before = set(threading.enumerate())
    ensure_topic(settings, name, 1, None)
    with opened(settings, name) as topic:
        append_one(topic, b"record")
        assert len(read_entries(topic, 1)) == 1
    assert set(threading.enumerate()) <= before


def test_a_topic_is_made_once_with_what_it_needs(kafka_address: str, name: str) -> None:
    settings = KafkaSettings(kafka_address)
    for _ in range(2):
        ensure_topic(settings, name, 4, 86_400, replicas=1)
    admin = KafkaAdminClient(bootstrap_servers=kafka_address)
    found = admin.describe_configs([ConfigResource("topic", name)], config_filter="all")["topic"][name]
    admin.close()
    expected = {"cleanup.policy": "delete", "retention.ms": "86400000", "retention.bytes": "-1"}
    expected["compression.type"] = "uncompressed"
    assert {key: found[key]["value"] for key in expected} == expected
    ensure_topic(settings, name, 4, 3_600)  # kept for longer than asked: nothing is lost


def test_looking_at_a_topic_makes_none(kafka_address: str, name: str) -> None:
    settings = KafkaSettings(kafka_address)
    assert not check_topic(settings, name, 1, None)
    assert not check_topic(settings, name, 1, None), "it was made by looking at it"
    ensure_topic(settings, name, 1, None)
    assert check_topic(settings, name, 1, None)
    with pytest.raises(UsageError, match="has 1 partitions, expected 2"):
        check_topic(settings, name, 2, None)
    assert tuple(map(int, get_version(settings).split("."))) >= (3, 0)


def test_many_services_may_make_a_topic_at_once(kafka_address: str, name: str) -> None:
    failures: list[Exception] = []

    def ensure() -> None:
        try:
            ensure_topic(KafkaSettings(kafka_address), name, 2, None)
        except Exception as error:
            failures.append(error)

    threads = [threading.Thread(target=ensure) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


@pytest.mark.parametrize(
    ("made_with", "complaint"),
    [
        (
            {"cleanup.policy": "compact"},
            r"cleanup.policy=compact, expected delete; .*--add-config cleanup.policy=delete",
        ),
        ({"retention.ms": "1000"}, r"retention.ms=1000, expected -1; .*--add-config retention.ms=-1"),
        ({"retention.bytes": "5000000"}, r"retention.bytes=5000000, expected -1;"),
        ({"max.message.bytes": "1000"}, r"max.message.bytes=1000, expected at least 1048588;"),
        ({"compression.type": "producer"}, r"compression.type=producer, expected uncompressed;"),
    ],
)
def test_invalid_topic_settings_are_refused(
    kafka_address: str, name: str, made_with: dict[str, str], complaint: str
) -> None:
    admin = KafkaAdminClient(bootstrap_servers=kafka_address)
    wanted = {"retention.ms": "-1", **made_with}
    admin.create_topics({name: {"num_partitions": 1, "replication_factor": 1, "configs": wanted}})
    admin.close()
    with pytest.raises(UsageError, match=complaint):
        ensure_topic(KafkaSettings(kafka_address), name, 1, None)


def test_invalid_record_for_the_topic_is_not_tried_for_ever(kafka_address: str, name: str) -> None:
    """Who changes a topic under a running service hears of it, and records that fit go on."""
    admin = KafkaAdminClient(bootstrap_servers=kafka_address)
    options = {"num_partitions": 1, "replication_factor": 1, "configs": {"max.message.bytes": "1000"}}
    admin.create_topics({name: options})
    admin.close()
    with opened(KafkaSettings(kafka_address), name) as topic:
        with pytest.raises(UsageError, match=name):
            append_one(topic, bytes(5_000))
        keep_trying(lambda: append_one(topic, b"small"))
        assert [entry.value for entry in read_entries(topic, 1)] == [b"small"]


def test_invalid_record_that_was_packed_reaches_no_reader(kafka_address: str, name: str) -> None:
    """A few kilobytes that unpack to more than a record may have would fill the memory of everybody who reads them."""
    settings = KafkaSettings(kafka_address)
    ensure_topic(settings, name, 1, None)
    packing = KafkaProducer(bootstrap_servers=kafka_address, compression_type="gzip", max_request_size=1 << 24)
    try:
        packing.send(name, bytes(1_000)).get(PATIENCE_S)
        with pytest.raises(MessageSizeTooLargeError):
            packing.send(name, bytes(1 << 23)).get(PATIENCE_S)
    finally:
        packing.close()
    with opened(settings, name) as topic:
        append_one(topic, b"next")
        assert [entry.value for entry in read_entries(topic, 2)] == [bytes(1_000), b"next"]


def test_invalid_number_of_partitions_is_refused(kafka_address: str, name: str) -> None:
    settings = KafkaSettings(kafka_address)
    ensure_topic(settings, name, 2, None)
    with pytest.raises(UsageError, match="has 2 partitions, expected 3"):
        ensure_topic(settings, name, 3, None)
    with pytest.raises(UsageError, match="has 1 replicas, expected at least 2"):
        ensure_topic(settings, name, 2, None, replicas=2)


def test_invalid_tls_file_is_refused(tmp_path: Path) -> None:
    settings = KafkaSettings("127.0.0.1:1", security_protocol="SSL", tls_ca_file=tmp_path / "ca.pem")
    with pytest.raises(UsageError, match="TLS CA file"):
        KafkaTopic(settings, "any")


def test_passwords_are_not_printed() -> None:
    settings = KafkaSettings("127.0.0.1:1", sasl_password="secret one", tls_key_password="secret two")
    assert "secret" not in repr(settings)


def test_a_broker_is_not_started_twice_on_one_directory_or_port(broker: LocalKafka, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="runs already"):
        start_kafka(broker.process.log.parent)
    port = int(broker.address.rpartition(":")[2])
    with pytest.raises(UsageError, match="choose another port"):
        start_kafka(tmp_path, port)
    assert is_port_open("127.0.0.1", port)
