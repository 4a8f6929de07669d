"""PayloadStore: whole payloads by the update's id."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from flobc.ports.payloads import Payload, PayloadStore
from flobc.protocol.messages import compute_update_id
from tests.contract.conftest import Adapter
from tests.support.payloads import build_payload


def put(store: PayloadStore, payload: Payload) -> bytes:
    update = compute_update_id(payload.header)
    store.put(update, payload)
    return update


@pytest.fixture
def store(adapter: Adapter) -> PayloadStore:
    return adapter.payloads()


def test_holds_nothing_at_first(store: PayloadStore) -> None:
    assert store.get(bytes(32)) is None
    assert store.list_headers() == []


@pytest.mark.parametrize("chunks", [(b"one",), (b"", b"two"), (bytes(70_000),), tuple(b"%d" % i for i in range(300))])
def test_returns_what_was_put(adapter: Adapter, store: PayloadStore, chunks: tuple[bytes, ...]) -> None:
    payload = build_payload(chunks=chunks)
    update = put(store, payload)
    assert store.get(update) == payload
    assert adapter.payloads().get(update) == payload


def test_putting_twice_is_harmless(store: PayloadStore) -> None:
    payload = build_payload()
    update = put(store, payload)
    put(store, payload)
    assert store.get(update) == payload
    assert store.list_headers() == [payload.header]


def test_lists_headers_oldest_base_first(adapter: Adapter, store: PayloadStore) -> None:
    payloads = [build_payload(0, 3, 1), build_payload(1, 0), build_payload(0, 3, 0), build_payload(0, 11)]
    for payload in payloads:
        put(store, payload)
    expected = [payloads[1].header, payloads[2].header, payloads[0].header, payloads[3].header]
    assert store.list_headers() == expected
    assert adapter.payloads().list_headers() == expected


def test_drops_what_is_named(adapter: Adapter, store: PayloadStore) -> None:
    payloads = [build_payload(number) for number in range(3)]
    updates = [put(store, payload) for payload in payloads]
    store.drop([updates[0], updates[2], bytes(32)])
    for held in (store, adapter.payloads()):
        assert [held.get(update) for update in updates] == [None, payloads[1], None]
        assert held.list_headers() == [payloads[1].header]


def test_two_writers_of_one_payload_leave_it_whole(store: PayloadStore) -> None:
    """Payloads are named by content, so workers need no lock between them."""
    payload = build_payload(chunks=tuple(bytes([number]) * 5_000 for number in range(40)))
    with ThreadPoolExecutor(8) as executor:
        updates = set(executor.map(lambda _: put(store, payload), range(64)))
    assert [store.get(update) for update in updates] == [payload]
