"""What adapters count of gRPC, Redis and Kafka, on real ones."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator

import grpc
import pytest

from flobc.adapters.grpc import LedgerServer, is_serving
from flobc.adapters.grpc.generated import ledger_pb2
from flobc.adapters.grpc.generated.ledger_pb2_grpc import LedgerStub
from flobc.adapters.kafka import KafkaSettings, KafkaTopic, ensure_topic
from flobc.adapters.prometheus import Metrics
from flobc.adapters.redis import RedisSettings, connect
from flobc.composition.local.ports import find_free_port
from flobc.composition.services.gauges import note_info, read_usage
from flobc.errors import LocalProtocolError, TransientError
from tests.support.brokers import kafka_address
from tests.support.ports import wait_until
from tests.support.scraping import add_up, scrape
from tests.support.served_chain import ServedChain
from tests.support.topics import append_all, keep_trying, read_entries

__all__ = ["kafka_address"]

BACKLOG = 700
"""More records than one read brings."""


def fail_for_now() -> int:
    raise TransientError("nothing came in yet", 0.01)


@pytest.fixture
def metrics() -> Metrics:
    return Metrics()


@pytest.fixture
def address(metrics: Metrics) -> Iterator[str]:
    """A ledger's server with three blocks."""
    stores = ServedChain()
    stores.grow(3)
    server = LedgerServer(stores.genesis, stores.blocks, stores.states, stores.models, meter=metrics)
    yield server.start("127.0.0.1:0")
    server.stop(0)


def test_calls_are_counted_by_method_and_status(metrics: Metrics, address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        stub = LedgerStub(channel)
        stub.GetHead(ledger_pb2.GetHeadRequest())
        assert list(stub.GetBlock(ledger_pb2.GetBlockRequest(height=2)))
        with pytest.raises(grpc.RpcError):
            list(stub.GetBlock(ledger_pb2.GetBlockRequest(height=99)))
        with pytest.raises(grpc.RpcError):
            list(stub.GetBlock(ledger_pb2.GetBlockRequest(height=0)))
    assert is_serving(address), "a health check is no call of the service"
    found = scrape(metrics)
    ended = {labels: value for (name, labels), value in found.items() if name == "flobc_grpc_requests_total"}
    assert ended == {
        (("code", "OK"), ("method", "Ledger/GetHead")): 1,
        (("code", "OK"), ("method", "Ledger/GetBlock")): 1,
        (("code", "NOT_FOUND"), ("method", "Ledger/GetBlock")): 1,
        (("code", "INVALID_ARGUMENT"), ("method", "Ledger/GetBlock")): 1,
    }
    assert add_up(found, "flobc_grpc_request_seconds_count", method="Ledger/GetBlock") == 3
    assert add_up(found, "flobc_grpc_requests_open") == 0


def test_whoever_follows_is_counted_as_long_as_it_does(metrics: Metrics, address: str) -> None:
    with grpc.insecure_channel(address) as channel:
        call = LedgerStub(channel).Follow(ledger_pb2.FollowRequest(from_height=1))
        next(iter(call))
        assert scrape(metrics)["flobc_grpc_requests_open", (("method", "Ledger/Follow"),)] == 1
        call.cancel()
        wait_until(lambda: add_up(scrape(metrics), "flobc_grpc_requests_open") == 0)
    assert add_up(scrape(metrics), "flobc_grpc_requests_total", code="CANCELLED") == 1


@pytest.mark.integration
def test_redis_commands_are_timed_and_its_own_words_kept(redis_address: str, metrics: Metrics) -> None:
    client = connect(RedisSettings.from_url(redis_address, f"test-{uuid.uuid4().hex}"), metrics)
    client.call("GET", client.key("head"))
    evicted: list[int] = []
    for _ in range(2):
        note_info(metrics, client.get_info(), evicted)
    client.close()
    found = scrape(metrics)
    assert found["flobc_redis_command_seconds_count", (("command", "get"),)] == 1
    assert found["flobc_redis_memory_bytes", ()] > 100_000
    assert found["flobc_redis_clients", ()] >= 1
    assert found["flobc_redis_persistence_ok", ()] == found["flobc_redis_up", ()] == 1
    assert found["flobc_redis_errors_total", ()] == found["flobc_redis_evicted_keys_total", ()] == 0


def test_a_redis_that_is_away_is_an_error(metrics: Metrics) -> None:
    client = connect(RedisSettings("chain", port=find_free_port("127.0.0.1")), metrics)
    with pytest.raises(TransientError):
        client.get_info()
    assert scrape(metrics)["flobc_redis_errors_total", ()] == 1


def test_dropped_keys_are_counted_from_the_first_look_on(metrics: Metrics) -> None:
    """What was dropped before this ledger began is no news, and a Redis that was restarted counts from 0."""
    evicted: list[int] = []
    for count in (100, 103, 2, 4):
        note_info(metrics, {"evicted_keys": count}, evicted)
    assert scrape(metrics)["flobc_redis_evicted_keys_total", ()] == 3 + 2


def test_a_redis_that_cannot_write_says_so(metrics: Metrics) -> None:
    note_info(metrics, {"aof_last_write_status": "err", "rdb_last_bgsave_status": "ok"}, [])
    assert scrape(metrics)["flobc_redis_persistence_ok", ()] == 0


def test_what_a_process_uses_is_read_until_it_is_gone() -> None:
    cpu_s, resident_bytes = read_usage(os.getpid())
    assert cpu_s > 0
    assert resident_bytes > 1_000_000
    assert read_usage(2**30) == (0.0, 0)


@pytest.mark.integration
def test_a_topics_records_bytes_and_lag_are_counted(kafka_address: str, metrics: Metrics) -> None:
    settings, name = KafkaSettings(kafka_address), f"topic-{uuid.uuid4().hex}"
    keep_trying(lambda: ensure_topic(settings, name, 2, retention_s=None))
    topic = keep_trying(lambda: KafkaTopic(settings, name, meter=metrics, label="log"))
    try:
        for number in range(5):
            topic.append(b"key", b"value %d" % number).result(30)
        with pytest.raises(LocalProtocolError):
            topic.append(b"key", b"")
        assert len(read_entries(topic, 5)) == 5
        found = scrape(metrics)
        assert found["flobc_kafka_lag_records", (("topic", "log"),)] == 0
        assert found["flobc_kafka_received_records_total", (("topic", "log"),)] == 5
        assert found["flobc_kafka_received_bytes_total", (("topic", "log"),)] == 35
        assert found["flobc_kafka_sent_bytes_total", (("topic", "log"),)] == 50
        assert found["flobc_kafka_publish_seconds_count", (("topic", "log"),)] == 5
        append_all(topic, [(b"key", b"more")] * BACKLOG)
        topic.seek({0: 0, 1: 0})
        seen = keep_trying(lambda: len(topic.read(1.0)) or fail_for_now())
        found = scrape(metrics)
        assert found["flobc_kafka_lag_records", (("topic", "log"),)] == 5 + BACKLOG - seen > 0
        assert found["flobc_kafka_lag_seconds", (("topic", "log"),)] > 0
        read_entries(topic, 5 + BACKLOG - seen)
        assert scrape(metrics)["flobc_kafka_lag_seconds", (("topic", "log"),)] == 0
    finally:
        topic.close(1)
