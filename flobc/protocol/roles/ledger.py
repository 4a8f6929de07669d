"""The ledger's role: every certified block enters the store once, in order."""

from __future__ import annotations

from flobc.protocol.consensus.state import ChainState
from flobc.protocol.roles.duties import Duty, RecordBlock


def get_duties(recorded_height: int, state: ChainState) -> tuple[Duty, ...]:
    """Return what the ledger owes now: the head, when the store does not hold it yet (ROUND-16)."""
    return (RecordBlock(state.height),) if recorded_height < state.height else ()
