"""A ledger records each certified block once and in order (ROUND-16)."""

from __future__ import annotations

import pytest

from flobc.adapters.memory import MemoryBlocks
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.roles.duties import RecordBlock
from flobc.protocol.roles.ledger import get_duties
from flobc.runtime.ledger_node import LedgerNode
from tests.support.dialogue import Chain


@pytest.fixture
def states() -> list[ChainState]:
    """The genesis state and the state after each of three blocks."""
    chain = Chain()
    found = [chain.state]
    for _ in range(3):
        chain.play_round()
        found.append(chain.state)
    return found


def test_two_ledgers_on_one_store_record_every_block_once(states: list[ChainState]) -> None:
    """ROUND-16: whoever comes second finds nothing left to do."""
    blocks = MemoryBlocks(states[0].head_digest)
    for state in states:
        for ledger in (LedgerNode(blocks), LedgerNode(blocks)):
            ledger.step(state)
    assert [blocks.get(height) for height in range(1, 5)] == [state.head for state in states[1:]] + [None]


def test_a_ledger_never_skips_a_height(states: list[ChainState]) -> None:
    """ROUND-16: a store that lacks a block does not take the one after it."""
    assert get_duties(0, states[2]) == ()
    assert get_duties(1, states[2]) == (RecordBlock(states[2].head),)
    assert get_duties(2, states[2]) == ()
