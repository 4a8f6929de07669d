"""A chain as its ledgers tell it: every block wherever a reader begins, and several asked for at once."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from flobc.adapters.grpc import LedgerServer
from flobc.composition.archive.ledger import BLOCKS_AHEAD, LedgerArchive
from flobc.protocol.chain.block import Block
from tests.support.served_chain import ServedChain

BLOCKS = 2 * BLOCKS_AHEAD + 3
PATIENCE_S = 20.0


class Crowd:
    """The first ``together`` blocks are handed out only when all of them are asked for."""

    def __init__(self, stores: ServedChain, together: int) -> None:
        self._stores, self._together = stores, together
        self._barrier = threading.Barrier(together)

    def __getattr__(self, name: str) -> object:
        return getattr(self._stores.blocks, name)

    def get(self, height: int) -> Block | None:
        if height <= self._together:
            self._barrier.wait(PATIENCE_S)
        return self._stores.blocks.get(height)


@pytest.fixture(scope="module")
def stores() -> ServedChain:
    stores = ServedChain()
    stores.grow(BLOCKS)
    return stores


@pytest.fixture(scope="module")
def archive(stores: ServedChain) -> Iterator[LedgerArchive]:
    server = LedgerServer(stores.genesis, stores.blocks, stores.states, stores.models)
    archive = LedgerArchive([server.start("127.0.0.1:0")])
    yield archive
    archive.close()
    server.stop(0)


@pytest.mark.parametrize(
    "heights",
    [range(1, BLOCKS + 1), range(BLOCKS, 0, -1), (1, 2, 9, 10, 2, 3, 1, 1, 2, BLOCKS, BLOCKS + 1), (0, 1, 2)],
    ids=["in order", "backwards", "there and back", "from the genesis on"],
)
def test_every_block_is_the_stored_one(archive: LedgerArchive, stores: ServedChain, heights: list[int]) -> None:
    for height in heights:
        assert archive.block(height) == (stores.blocks.get(height) if 1 <= height <= BLOCKS else None)


def test_blocks_read_in_order_are_asked_for_together(stores: ServedChain) -> None:
    """A reader that asked for one after the other would wait for the barrier until it breaks."""
    server = LedgerServer(stores.genesis, Crowd(stores, 4), stores.states, stores.models)  # type: ignore[arg-type]
    archive = LedgerArchive([server.start("127.0.0.1:0")])
    try:
        assert [archive.block(height) for height in range(1, 5)] == [stores.blocks.get(h) for h in range(1, 5)]
    finally:
        archive.close()
        server.stop(0)
