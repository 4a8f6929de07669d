"""A block of empty items takes little on the wire and much in memory: it is refused before it is decoded."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from flobc.adapters.grpc import LedgerClient, Patience, clients
from flobc.adapters.grpc.outlines import require_outline
from flobc.errors import DataError
from flobc.protocol.chain.block import EMPTY_BODY, Block, Body, CountedVotes
from flobc.protocol.encoding import encode
from flobc.protocol.messages import Evidence
from tests.bench.made_chain import MadeChain
from tests.support.explored import ExploredChain

MANY = 200_000
HASTE = Patience(call_s=5.0, stream_s=5.0, retry_s=0.2)


@pytest.fixture(scope="module")
def world() -> Iterator[ExploredChain]:
    world = ExploredChain()
    world.grow(3)
    world.open()
    yield world
    world.shut()


def with_body(**changes: object) -> Callable[[Block], Block]:
    return lambda block: replace(block, body=replace(block.body, **changes))  # type: ignore[arg-type]


LIES = {
    "votes": with_body(votes=(CountedVotes(()),) * MANY),
    "evidence": with_body(evidence=(Evidence(b"", b""),) * MANY),
    "only votes": lambda block: replace(block, body=Body((), (), (CountedVotes(()),) * MANY, ())),
    "headers": with_body(headers=()),
    "count": lambda block: replace(block, header=replace(block.header, num_decisions=7)),
}


@pytest.mark.parametrize("lie", list(LIES))
def test_a_block_of_many_empty_items_is_refused_before_it_is_decoded(world: ExploredChain, lie: str) -> None:
    """CHAIN-7: decisions, headers and votes are as many as the header counts."""
    block = world.blocks.get(2)
    assert block is not None
    data = encode(LIES[lie](block))
    tracemalloc.start()
    with pytest.raises(DataError):
        require_outline(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


def test_a_client_refuses_it(world: ExploredChain, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = LedgerClient([world.address], patience=HASTE)
    try:
        world.blocks.lies[3] = LIES["votes"]
        with pytest.raises(DataError, match="differ in number"):
            ledger.get_block(3)
        monkeypatch.setattr(clients, "MAX_BLOCK_BYTES", 1000)
        with pytest.raises(DataError, match="above the 1000 that are accepted"):
            ledger.get_block(2)
    finally:
        ledger.close()


def test_honest_blocks_pass_whatever_they_hold_and_cut_ones_never() -> None:
    chain = MadeChain()
    chain.grow(1)
    block = chain.blocks.get(1)
    assert block is not None
    bare = replace(block, header=replace(block.header, loss=None, accuracy=None), certificate=())
    told = replace(block, body=replace(block.body, evidence=(Evidence(bytes(200), bytes(300)),)))
    for honest in (block, bare, told, replace(block, body=EMPTY_BODY), *list_world_blocks()):
        require_outline(encode(honest))
    data = encode(told)
    for end in range(0, len(data) - 500, 97):
        with pytest.raises(DataError):
            require_outline(data[:end])


def list_world_blocks() -> list[Block]:
    world = ExploredChain()
    world.grow(3)
    return world.chain.blocks
