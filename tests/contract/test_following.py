"""Blocks as they come, to whoever watches: all of them, or a sentence that says which one is not there."""

from __future__ import annotations

import itertools

import pytest

from flobc.adapters.grpc import LedgerServer
from flobc.composition.archive.following import follow_ledgers
from flobc.errors import DataError
from flobc.protocol.chain.block import Block
from tests.support.served_chain import ServedChain


class Holed:
    """Blocks of which one has been lost, its header excepted: heads and pages still name it."""

    def __init__(self, stores: ServedChain, lost: int) -> None:
        self._stores, self._lost, self.asked = stores, lost, 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._stores.blocks, name)

    def get(self, height: int) -> Block | None:
        if height == self._lost:
            self.asked += 1
            if self.asked > 1:  # the stream's own look is answered
                return None
        return self._stores.blocks.get(height)


def test_a_lost_block_is_named_instead_of_left_out() -> None:
    stores = ServedChain()
    stores.grow(4)
    server = LedgerServer(stores.genesis, Holed(stores, 3), stores.states, stores.models)  # type: ignore[arg-type]
    address = server.start("127.0.0.1:0")
    try:
        blocks = follow_ledgers([address], None, 1)
        assert [block.height for block in itertools.islice(blocks, 2)] == [1, 2]
        with pytest.raises(DataError, match=f"Block 3 is missing at {address}"):
            next(blocks)
    finally:
        server.stop(0)
