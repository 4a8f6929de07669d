"""The ledger's role: every certified block enters the store once, in order (ROUND-16)."""

from __future__ import annotations

from flobc.protocol.consensus.state import ChainState
from flobc.protocol.roles.duties import Duty, RecordBlock


def get_duties(recorded_height: int, state: ChainState) -> tuple[Duty, ...]:
    """Return what a ledger owes whose store ends at ``recorded_height``: the head, if it is the next block.

    A store that lies further behind is rebuilt by following the log from its own head on.
    """
    return (RecordBlock(state.head),) if recorded_height == state.height - 1 else ()
