"""A running ledger: appends each certified block to its store."""

from __future__ import annotations

from flobc.ports.blocks import BlockStore
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.roles import ledger as rules
from flobc.protocol.roles.duties import RecordBlock


class LedgerNode:
    """One ledger replica; several may write to one store, because appending compares the head first."""

    def __init__(self, blocks: BlockStore) -> None:
        self._blocks = blocks

    def step(self, state: ChainState) -> None:
        """Record what the store lacks; losing the race to another replica is no error (ROUND-16)."""
        for duty in rules.get_duties(self._blocks.height, state):
            if isinstance(duty, RecordBlock):
                self._blocks.append(duty.block)
