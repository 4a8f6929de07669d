"""The names that a test's own node gives to Services and pods, as a resolver asks for them."""

import socket
import struct
from types import SimpleNamespace

import pytest

from tests.support.cluster.dns import build_answer, build_names

TYPE_A, TYPE_AAAA = 1, 28
NO_SUCH_NAME = 3


def make_service(name: str, address: str) -> SimpleNamespace:
    return SimpleNamespace(metadata=SimpleNamespace(name=name, namespace="a"), spec=SimpleNamespace(cluster_ip=address))


def make_slice(owner: str, *endpoints: SimpleNamespace) -> SimpleNamespace:
    labels = {"kubernetes.io/service-name": owner}
    return SimpleNamespace(metadata=SimpleNamespace(labels=labels, namespace="a"), endpoints=list(endpoints))


def make_endpoint(address: str, hostname: str | None, ready: bool | None = True) -> SimpleNamespace:
    return SimpleNamespace(addresses=[address], hostname=hostname, conditions=SimpleNamespace(ready=ready))


NAMES = build_names(
    [make_service("kafka", "None"), make_service("ledger", "10.96.0.7")],
    [
        make_slice("kafka", make_endpoint("10.244.0.5", "kafka-0"), make_endpoint("10.244.0.6", "kafka-1", False)),
        make_slice("ledger", make_endpoint("10.244.0.9", None)),
    ],
)


def build_query(name: str, kind: int = TYPE_A) -> bytes:
    labels = b"".join(bytes([len(label)]) + label.encode() for label in name.split("."))
    return struct.pack("!HHHHHH", 7, 0x0100, 1, 0, 0, 0) + labels + b"\0" + struct.pack("!HH", kind, 1)


def read_addresses(answer: bytes) -> list[str]:
    (count,) = struct.unpack("!H", answer[6:8])
    return [socket.inet_ntoa(answer[len(answer) - 16 * part + 12 :][:4]) for part in range(count, 0, -1)]


@pytest.mark.parametrize(
    ("name", "addresses"),
    [
        ("ledger.a.svc.cluster.local", ["10.96.0.7"]),
        ("kafka.a.svc.cluster.local", ["10.244.0.5"]),
        ("KAFKA-0.kafka.a.svc.cluster.local", ["10.244.0.5"]),
    ],
)
def test_a_service_is_its_own_address_and_a_headless_one_its_ready_pods(name: str, addresses: list[str]) -> None:
    answer = build_answer(build_query(name), NAMES)
    assert answer[:2] == build_query(name)[:2]
    assert read_addresses(answer) == addresses


@pytest.mark.parametrize("name", ["kafka-1.kafka.a.svc.cluster.local", "kafka.b.svc.cluster.local", "example.org"])
def test_a_pod_that_is_not_ready_and_whatever_is_elsewhere_have_no_name(name: str) -> None:
    answer = build_answer(build_query(name), NAMES)
    assert answer[3] & 0x0F == NO_SUCH_NAME
    assert read_addresses(answer) == []


def test_a_known_name_asked_for_another_kind_of_address_is_known_and_has_none() -> None:
    answer = build_answer(build_query("ledger.a.svc.cluster.local", TYPE_AAAA), NAMES)
    assert answer[3] & 0x0F == 0
    assert read_addresses(answer) == []
