"""LedgerPeer: what a ledger replica holds, in process and over gRPC."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice

import numpy as np
import pytest

from flobc.adapters.grpc import LedgerClient, LedgerServer, Patience
from flobc.adapters.memory import MemoryLedgerPeer
from flobc.errors import DataError, TransientError, UsageError
from flobc.ports.peers import LedgerPeer
from flobc.protocol.chain.block import Block, verify_certificate
from tests.support.dialogue import digest
from tests.support.served_chain import Flaky, ServedChain, build_model, drop_body

PATIENCE = Patience(call_s=5, stream_s=5, retry_s=0.3)


@dataclass
class Ledger:
    """A peer and the stores that it reads, which may fail."""

    stores: ServedChain
    blocks: Flaky
    states: Flaky
    models: Flaky
    peer: LedgerPeer


@pytest.fixture(params=["memory", "grpc"])
def ledger(request: pytest.FixtureRequest) -> Iterator[Ledger]:
    stores = ServedChain()
    flaky = (Flaky(stores.blocks), Flaky(stores.states), Flaky(stores.models))
    if request.param == "memory":
        peer: LedgerPeer = MemoryLedgerPeer(stores.genesis, *flaky)
        yield Ledger(stores, *flaky, peer)
        peer.close()
        return
    server = LedgerServer(stores.genesis, *flaky)
    peer = LedgerClient([server.start("127.0.0.1:0")], patience=PATIENCE)
    yield Ledger(stores, *flaky, peer)
    peer.close()
    server.stop(0)


def test_holds_only_the_genesis_at_first(ledger: Ledger) -> None:
    assert ledger.peer.get_head() is None
    assert [ledger.peer.get_block(height) for height in (-1, 0, 1, 2**64)] == [None] * 4


def test_the_head_is_certified_and_has_no_body(ledger: Ledger) -> None:
    for height in (1, 2):
        (block,) = ledger.stores.grow()
        head = ledger.peer.get_head()
        assert head == drop_body(block)
        assert head is not None
        assert head.height == height
        chain = ledger.stores.chain.state
        assert verify_certificate(head.header, head.certificate, chain.genesis.validators, chain.quorum)


def test_returns_blocks_with_their_bodies(ledger: Ledger) -> None:
    blocks = ledger.stores.grow(3)
    assert [ledger.peer.get_block(height) for height in range(5)] == [None, *blocks, None]
    assert all(block.body.decisions for block in blocks)


@pytest.mark.parametrize("start", [1, 3])
def test_follows_from_a_height_on(ledger: Ledger, start: int) -> None:
    blocks = ledger.stores.grow(3)
    followed = ledger.peer.follow(start)
    expected = [drop_body(block) for block in blocks[start - 1 :]]
    assert list(islice(followed, len(expected))) == expected
    (new,) = ledger.stores.grow()
    assert next(followed) == drop_body(new)


def test_follows_from_a_height_that_is_not_there_yet(ledger: Ledger) -> None:
    with ThreadPoolExecutor(1) as executor:
        first = executor.submit(lambda: next(ledger.peer.follow(2)))
        blocks = ledger.stores.grow(2)
        assert first.result(10) == drop_body(blocks[1])


def test_closing_ends_whoever_follows(ledger: Ledger) -> None:
    ledger.stores.grow()
    seen, began = [], threading.Event()

    def follow() -> None:
        for block in ledger.peer.follow(1):
            seen.append(block)
            began.set()

    thread = threading.Thread(target=follow)
    thread.start()
    assert began.wait(10)
    ledger.peer.close()
    thread.join(10)
    assert not thread.is_alive()
    assert len(seen) == 1


def test_invalid_start_to_follow_from(ledger: Ledger) -> None:
    with pytest.raises(UsageError, match="count from 1"):
        next(ledger.peer.follow(0))


def test_returns_states_by_digest(ledger: Ledger) -> None:
    (block,) = ledger.stores.grow()
    state = ledger.peer.get_state(block.header.state)
    assert state is not None
    assert state == ledger.stores.states.get(block.header.state)
    assert ledger.peer.get_state(digest("state")) is None
    assert ledger.peer.get_state(b"short") is None


def test_returns_models_by_digest(ledger: Ledger) -> None:
    (block,) = ledger.stores.grow()
    for number, name in enumerate([ledger.stores.genesis.initial_model, block.header.model]):
        found = ledger.peer.get_model(name)
        assert found is not None
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, build_model(number))
    assert ledger.peer.get_model(digest("model")) is None
    assert ledger.peer.get_model(b"short") is None


def test_many_ask_at_once(ledger: Ledger) -> None:
    blocks = ledger.stores.grow(2)

    def ask(number: int) -> Block | None:
        model = ledger.peer.get_model(blocks[number % 2].header.model)
        assert model is not None
        return ledger.peer.get_block(1 + number % 2)

    with ThreadPoolExecutor(8) as executor:
        assert list(executor.map(ask, range(24))) == blocks * 12


def test_a_wrong_model_is_never_accepted(ledger: Ledger) -> None:
    (block,) = ledger.stores.grow()
    wrong = build_model(1)
    wrong[-1] ^= 1
    ledger.stores.models.put(block.header.model, wrong)
    with pytest.raises(DataError, match=block.header.model.hex()[:12]):
        ledger.peer.get_model(block.header.model)


def test_a_store_that_is_away_is_said_to_be_and_may_come_back(ledger: Ledger) -> None:
    blocks = ledger.stores.grow()
    for flaky in (ledger.blocks, ledger.states, ledger.models):
        flaky.error = TransientError("the store is away", 0.1)
    for ask in (
        ledger.peer.get_head,
        lambda: ledger.peer.get_block(1),
        lambda: next(ledger.peer.follow(1)),
        lambda: ledger.peer.get_state(blocks[0].header.state),
        lambda: ledger.peer.get_model(blocks[0].header.model),
    ):
        with pytest.raises(TransientError):
            ask()
    for flaky in (ledger.blocks, ledger.states, ledger.models):
        flaky.error = None
    assert ledger.peer.get_block(1) == blocks[0]
    assert ledger.peer.get_head() == drop_body(blocks[0])


def test_a_damaged_block_is_said_to_be(ledger: Ledger) -> None:
    ledger.stores.grow()
    ledger.blocks.error = DataError("the file is damaged")
    with pytest.raises(DataError):
        ledger.peer.get_block(1)
