"""What gRPC clients make of servers that die, hang, lie or fall behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from flobc.adapters.grpc import BlobClient, BlobServer, LedgerClient, LedgerServer, Patience
from flobc.adapters.grpc.downloads import ModelDownload, PayloadDownload
from flobc.adapters.memory import MemoryBlocks, MemoryModels, MemoryPayloads, MemoryStates
from flobc.errors import DataError, FlobcError, TransientError, UsageError
from flobc.protocol.chain.block import Block
from flobc.protocol.messages import compute_update_id
from tests.support.payloads import build_payload
from tests.support.ports import Proxy, wait_until
from tests.support.served_chain import SIZE, Flaky, ServedChain, build_model, drop_body

PATIENCE = Patience(call_s=5, stream_s=10, retry_s=5)
HASTE = Patience(call_s=0.3, stream_s=0.3, retry_s=0.3)


@contextmanager
def serve(stores: ServedChain, address: str = "127.0.0.1:0") -> Iterator[tuple[LedgerServer, str]]:
    server = LedgerServer(stores.genesis, stores.blocks, stores.states, stores.models)
    try:
        yield server, server.start(address)
    finally:
        server.stop(0)


@contextmanager
def serve_blobs(stores: ServedChain, address: str = "127.0.0.1:0") -> Iterator[tuple[BlobServer, str]]:
    server = BlobServer(stores.genesis, stores.payloads, stores.models)
    try:
        yield server, server.start(address)
    finally:
        server.stop(0)


@contextmanager
def proxy_for(target: str, hold_after: int) -> Iterator[Proxy]:
    proxy = Proxy(target, hold_after)
    try:
        yield proxy
    finally:
        proxy.close()


def start(function: Callable[..., Any], *args: Any) -> Future[Any]:
    """What a function returns or raises in a thread of its own."""
    result: Future[Any] = Future()

    def run() -> None:
        try:
            result.set_result(function(*args))
        except FlobcError as error:
            result.set_exception(error)

    threading.Thread(target=run, daemon=True).start()
    return result


def get_free_address() -> str:
    """An address where nobody listens: somebody did just now."""
    with serve(ServedChain()) as (_, address):
        return address


@pytest.fixture
def piece_taken(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Set when a client has a first piece or chunk: gRPC may drop what arrived but was not read at the cut."""
    taken = threading.Event()
    for download in (ModelDownload, PayloadDownload):
        take = download._take

        def watched(self: Any, piece: bytes, take: Callable[..., None] = take) -> None:
            take(self, piece)
            taken.set()

        monkeypatch.setattr(download, "_take", watched)
    return taken


@pytest.fixture(scope="module")
def stores() -> ServedChain:
    """Two blocks; tests that change something make their own."""
    stores = ServedChain()
    stores.grow(2)
    return stores


def test_a_model_goes_on_at_its_next_piece_when_the_server_is_killed_and_back(
    stores: ServedChain, piece_taken: threading.Event
) -> None:
    """Held in the middle of the stream, killed there, and started anew from the same stores."""
    name = stores.genesis.initial_model
    with serve(stores) as (server, target), proxy_for(target, hold_after=SIZE * 2) as proxy:
        client = LedgerClient([proxy.address], patience=PATIENCE)
        found = start(client.get_model, name)
        assert proxy.held.wait(10)
        assert piece_taken.wait(10)
        server.stop(0)
        before = proxy.received
        proxy.cut()
        with serve(stores, target):
            np.testing.assert_array_equal(found.result(20), build_model(0))
            client.close()
    assert SIZE * 2 <= before < 4 * SIZE
    assert proxy.received - before < 4 * SIZE, "the whole model was sent again"


def test_a_model_goes_on_at_another_server(stores: ServedChain, piece_taken: threading.Event) -> None:
    name = stores.genesis.initial_model
    with (
        serve_blobs(stores) as (_, one),
        serve_blobs(stores) as (_, two),
        proxy_for(one, hold_after=SIZE * 2) as first,
        proxy_for(two, hold_after=10**9) as second,
    ):
        client = BlobClient([first.address, second.address], patience=PATIENCE)
        found = start(client.get_model, name)
        assert first.held.wait(10)
        assert piece_taken.wait(10)
        first.close()
        np.testing.assert_array_equal(found.result(20), build_model(0))
        client.close()
        assert 0 < second.received < 4 * SIZE, "the whole model was sent again"


def test_pieces_of_a_liar_do_not_spoil_an_honest_servers_model(
    stores: ServedChain, piece_taken: threading.Event
) -> None:
    """The first server sends wrong pieces and dies; the second one's right ones make no model with those."""
    name = stores.genesis.initial_model
    wrong = build_model(0)
    wrong[0] ^= 1
    liar = ServedChain()
    liar.models.put(name, wrong)
    with serve(liar) as (_, one), serve(stores) as (_, two), proxy_for(one, hold_after=SIZE * 2) as first:
        client = LedgerClient([first.address, two], patience=PATIENCE)
        found = start(client.get_model, name)
        assert first.held.wait(10)
        assert piece_taken.wait(10)
        first.close()
        np.testing.assert_array_equal(found.result(20), build_model(0))
        client.close()


def test_a_payload_goes_on_at_its_next_chunk_when_a_connection_breaks(piece_taken: threading.Event) -> None:
    payload = build_payload(chunks=tuple(np.random.default_rng(1).bytes(100_000) for _ in range(20)))
    update = compute_update_id(payload.header)
    stores = ServedChain()
    stores.payloads.put(update, payload)
    with serve_blobs(stores) as (_, target), proxy_for(target, hold_after=1_000_000) as proxy:
        client = BlobClient([proxy.address], patience=PATIENCE)
        found = start(client.get_payload, update)
        assert proxy.held.wait(10)
        assert piece_taken.wait(10)
        before = proxy.received
        proxy.cut()
        assert found.result(20) == payload
        client.close()
        assert proxy.received - before < 2_000_000, "the whole payload was sent again"


def test_following_goes_on_across_a_restart() -> None:
    stores = ServedChain()
    expected = stores.grow(2)
    client = None
    seen: list[int] = []
    try:
        with serve(stores) as (_, address):
            client = LedgerClient([address], patience=PATIENCE)
            followed = client.follow(1)
            seen += [next(followed).height, next(followed).height]
        expected += stores.grow(2)
        with serve(stores, address) as (server, _):
            seen += [next(followed).height, next(followed).height]
            expected += stores.grow(1)
            server.notify(5)
            assert next(followed) == drop_body(expected[4])
        assert seen == [1, 2, 3, 4]
    finally:
        if client is not None:
            client.close()


def test_news_reaches_followers_at_once() -> None:
    """Without word of it they would wait for the server's next look, up to a second later."""
    stores = ServedChain()
    with serve(stores) as (server, address):
        client = LedgerClient([address], patience=PATIENCE)
        followed = client.follow(1)
        stores.grow()
        server.notify(1)
        next(followed)
        delays = []
        for height in (2, 3, 4):
            stores.grow()
            began = time.monotonic()
            server.notify(height)
            assert next(followed).height == height
            delays.append(time.monotonic() - began)
        client.close()
        assert min(delays) < 0.2


def test_the_next_address_is_asked_when_one_is_away(stores: ServedChain) -> None:
    away = get_free_address()
    with serve(stores) as (_, address):
        client = LedgerClient([away, address], patience=PATIENCE)
        head = stores.blocks.get(2)
        assert head is not None
        assert client.get_head() == drop_body(head)
        assert next(client.follow(2)) == drop_body(head)
        client.close()


def test_the_next_address_is_asked_when_one_does_not_hold_it(stores: ServedChain) -> None:
    empty = ServedChain()
    name = stores.chain.blocks[-1].header.model
    with serve(empty) as (_, first), serve(stores) as (_, second):
        client = LedgerClient([first, second], patience=PATIENCE)
        np.testing.assert_array_equal(client.get_model(name), build_model(2))  # type: ignore[arg-type]
        assert client.get_block(7) is None
        client.close()


def test_the_next_address_is_asked_when_one_lies(stores: ServedChain) -> None:
    liar, name = ServedChain(), stores.genesis.initial_model
    liar.models.put(name, build_model(1))
    state = stores.chain.blocks[0].header.state
    liar.states.put(state, b"another state")
    with serve(liar) as (_, first), serve(stores) as (_, second):
        client = LedgerClient([first, second], patience=PATIENCE)
        np.testing.assert_array_equal(client.get_model(name), build_model(0))  # type: ignore[arg-type]
        client.close()
        client = LedgerClient([first, second], patience=PATIENCE)
        assert client.get_state(state) == stores.states.get(state)
        client.close()
        client = LedgerClient([first], patience=PATIENCE)
        with pytest.raises(DataError, match=f"{first}.*{state.hex()[:12]}"):
            client.get_state(state)
        client.close()


def test_a_block_in_the_wrong_place_is_never_accepted() -> None:
    stores = ServedChain()
    blocks = stores.grow(2)
    shuffled = Flaky(stores.blocks)
    shuffled.get = lambda height: blocks[0]  # type: ignore[method-assign]
    server = LedgerServer(stores.genesis, shuffled, stores.states, stores.models)
    client = LedgerClient([server.start("127.0.0.1:0")], patience=HASTE)
    try:
        with pytest.raises(DataError, match="block 2"):
            client.get_block(2)
        with pytest.raises(DataError, match="blocks from 2"):
            next(client.follow(2))
    finally:
        client.close()
        server.stop(0)


@pytest.mark.parametrize("count", [1, 2])
def test_who_is_away_for_long_is_named(count: int) -> None:
    addresses = [get_free_address() for _ in range(count)]
    client = LedgerClient(addresses, patience=HASTE)
    for ask in (client.get_head, lambda: next(client.follow(1))):
        with pytest.raises(TransientError) as caught:
            ask()
        assert all(address in str(caught.value) for address in addresses)
        assert caught.value.delay_s > 0
    client.close()


def test_a_server_that_hangs_is_given_up_at_the_deadline() -> None:
    stores = ServedChain()
    hanging = Flaky(stores.blocks)
    server = LedgerServer(stores.genesis, hanging, stores.states, stores.models)
    client = LedgerClient([server.start("127.0.0.1:0")], patience=HASTE)
    hanging.gate.clear()
    try:
        began = time.monotonic()
        for ask in (client.get_head, lambda: client.get_block(1)):
            with pytest.raises(TransientError, match="DEADLINE_EXCEEDED"):
                ask()
        assert time.monotonic() - began < 3
    finally:
        hanging.gate.set()
        client.close()
        server.stop(0)


def test_following_outlasts_the_length_of_one_stream() -> None:
    """A stream ends at its deadline and the next one goes on; nothing of that is an error."""
    stores = ServedChain()
    with serve(stores) as (server, address):
        client = LedgerClient([address], patience=HASTE)
        timer = threading.Timer(4 * HASTE.stream_s, lambda: (stores.grow(), server.notify(1)))
        timer.start()
        assert next(client.follow(1)).height == 1
        client.close()


def test_followers_of_a_store_that_is_away_go_elsewhere() -> None:
    stores = ServedChain()
    stores.grow()
    flaky = Flaky(stores.blocks)
    server = LedgerServer(stores.genesis, flaky, stores.states, stores.models)
    with serve(stores) as (other, second):
        client = LedgerClient([server.start("127.0.0.1:0"), second], patience=PATIENCE)
        followed = client.follow(1)
        assert next(followed).height == 1
        flaky.error = TransientError("the store is away", 0.1)
        stores.grow()
        other.notify(2)
        assert next(followed).height == 2
        client.close()
        server.stop(0)


def test_a_slow_follower_holds_no_queue(stores: ServedChain) -> None:
    """The server reads a block when the stream has room for it, however many there are."""

    class EndlessBlocks(MemoryBlocks):
        """As many blocks as one likes, and the highest that anybody read."""

        highest = 0
        height = 10**6

        def get(self, height: int) -> Block:
            self.highest = max(self.highest, height)
            block = stores.chain.blocks[0]
            return replace(block, header=replace(block.header, height=height), certificate=block.certificate * 50)

    blocks = EndlessBlocks(bytes(32))
    server = LedgerServer(stores.genesis, blocks, MemoryStates(), MemoryModels())
    client = LedgerClient([server.start("127.0.0.1:0")], patience=PATIENCE)
    followed = client.follow(1)
    assert next(followed).height == 1
    last = -1

    def stands_still() -> bool:
        nonlocal last
        before, last = last, blocks.highest
        time.sleep(0.3)
        return before == last

    wait_until(stands_still, 20)
    assert blocks.highest < 2_000
    assert [next(followed).height for _ in range(100)] == list(range(2, 102))
    client.close()
    server.stop(0)


def test_stopping_lets_a_stream_under_way_finish(stores: ServedChain) -> None:
    name = stores.genesis.initial_model
    with serve(stores) as (server, target), proxy_for(target, hold_after=SIZE) as proxy:
        client = LedgerClient([proxy.address], patience=PATIENCE)
        with ThreadPoolExecutor(2) as executor:
            found = executor.submit(client.get_model, name)
            assert proxy.held.wait(10)
            stopped = executor.submit(server.stop, 10)
            wait_until(lambda: not is_serving(target))
            proxy.release()
            np.testing.assert_array_equal(found.result(10), build_model(0))  # type: ignore[arg-type]
            stopped.result(10)
        client.close()


def is_serving(address: str) -> bool:
    """Whether the server still takes connections."""
    host, _, port = address.rpartition(":")
    try:
        socket.create_connection((host, int(port))).close()
    except OSError:
        return False
    return True


def test_an_address_that_is_taken_is_refused(stores: ServedChain) -> None:
    with serve(stores) as (_, address):
        other = BlobServer(stores.genesis, MemoryPayloads(), stores.models)
        with pytest.raises(UsageError, match=address):
            other.start(address)
        other.stop(0)


def test_no_address_is_refused() -> None:
    with pytest.raises(UsageError, match="address"):
        LedgerClient([])


def test_a_closed_client_says_so(stores: ServedChain) -> None:
    with serve(stores) as (_, address):
        client = LedgerClient([address])
        client.close()
        with pytest.raises(TransientError, match="closed"):
            client.get_head()
        assert list(client.follow(1)) == []
