"""Following a chain: when each block came, how long nothing may come, and a chain that breaks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator

import pytest

from flobc.adapters.memory import MemoryLedgerPeer
from flobc.composition.scaling.watching import BlockWatch
from flobc.errors import TransientError, VerificationError
from flobc.protocol.chain.block import Block, compute_header_digest
from tests.support.served_chain import ServedChain

PATIENCE_S = 30.0


@pytest.fixture
def served() -> ServedChain:
    return ServedChain()


def open_ledger(served: ServedChain) -> MemoryLedgerPeer:
    return MemoryLedgerPeer(served.genesis, served.blocks, served.states, served.models)


def test_blocks_that_come_are_noted_in_their_order(served: ServedChain) -> None:
    served.grow(2)
    with BlockWatch(open_ledger(served)) as watch:
        assert watch.height == 2
        blocks = served.grow(3)
        watch.wait(lambda _: watch.height == 5, "five", PATIENCE_S)
        seen = watch.list_blocks(4)
    assert [block.height for block in seen] == [4, 5]
    assert [block.digest for block in seen] == [compute_header_digest(block.header) for block in blocks[1:]]
    assert [block.decided for block in seen] == [block.header.num_decisions for block in blocks[1:]]
    assert seen[0].at_s <= seen[1].at_s


def test_a_chain_that_stands_still_is_said(served: ServedChain) -> None:
    with BlockWatch(open_ledger(served)) as watch:
        with pytest.raises(TransientError, match="No block came for 0 s after block 0 while waiting for a wonder"):
            watch.wait(lambda _: False, "a wonder", 0.05)
        watch.wait_for_silence(0.05, PATIENCE_S)


def test_blocks_of_which_it_is_never_so_end_the_wait(served: ServedChain) -> None:
    with BlockWatch(open_ledger(served)) as watch:
        served.grow()
        with pytest.raises(TransientError, match="Blocks came for 0 s, but not a wonder"):
            watch.wait(lambda _: served.grow() == [], "a wonder", PATIENCE_S, 0.05)


class Liar(MemoryLedgerPeer):
    """A ledger whose third block is not the child of its second one."""

    def follow(self, height: int) -> Iterator[Block]:
        for block in super().follow(height):
            header = dataclasses.replace(block.header, parent=bytes(32)) if block.height == 3 else block.header
            yield dataclasses.replace(block, header=header)


def test_a_block_that_does_not_follow_ends_the_watch(served: ServedChain) -> None:
    """CHAIN-8."""
    served.grow(1)
    liar = Liar(served.genesis, served.blocks, served.states, served.models)
    with BlockWatch(liar) as watch:
        served.grow(3)
        with pytest.raises(VerificationError, match="height 3 breaks CHAIN-8"):
            watch.wait(lambda _: False, "nothing", PATIENCE_S)
        assert watch.height == 2


def test_a_silence_that_never_comes_is_said(served: ServedChain) -> None:
    class Busy(MemoryLedgerPeer):
        def follow(self, height: int) -> Iterator[Block]:
            for block in super().follow(height):
                yield block
                served.grow()

    served.grow()
    with BlockWatch(Busy(served.genesis, served.blocks, served.states, served.models)) as watch:
        served.grow()
        with pytest.raises(TransientError, match=r"Blocks still came .*drain.timeout_s"):
            watch.wait_for_silence(PATIENCE_S, 0.1)
