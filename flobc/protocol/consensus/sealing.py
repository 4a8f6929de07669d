"""Readys lock a header, seals certify it (ROUND-13..ROUND-16)."""

from __future__ import annotations

from dataclasses import replace

from flobc.errors import RemoteProtocolError
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.consensus.state import ChainState, ClosedRound
from flobc.protocol.messages import Ready, Seal


def _get_closed(state: ChainState, height: int) -> ClosedRound:
    if state.closed is None or state.closed.height != height:
        waiting = "no closed round" if state.closed is None else f"height {state.closed.height}"
        raise RemoteProtocolError("ROUND-13", f"the height that waits for seals ({waiting})", f"height {height}")
    return state.closed


def find_locked_model(readys: dict[bytes, bytes], quorum: int) -> bytes | None:
    """Return the model digest that ``quorum`` validators are ready with, if any (ROUND-14)."""
    models = sorted(readys.values())
    return next((model for model in models if models.count(model) >= quorum), None)


def apply_ready(state: ChainState, ready: Ready) -> ChainState:
    """Count a validator's latest result; the first quorum of equal ones locks the header (ROUND-13, ROUND-14).

    **Raises** RemoteProtocolError for another height, a header that does not follow from the log
    and the model digest, or a ready that changes nothing.
    """
    closed = _get_closed(state, ready.height)
    if compute_header_digest(closed.build_header(ready.model)) != ready.header:
        raise RemoteProtocolError(
            "ROUND-13", "the header that the log and this model determine", ready.header.hex()[:12]
        )
    if closed.locked is not None:
        raise RemoteProtocolError("ROUND-14", "a header not yet locked", "a locked one")
    if closed.readys.get(ready.validator) == ready.model:
        raise RemoteProtocolError("ROUND-13", "a new result", "the same ready again")
    readys = {**closed.readys, ready.validator: ready.model}
    locked = find_locked_model(readys, state.quorum)
    return replace(state, closed=replace(closed, readys=readys, locked=locked))


def apply_seal(state: ChainState, seal: Seal) -> ChainState:
    """Count a seal of the locked header; the quorum's last one commits the block (ROUND-15, ROUND-16).

    **Raises** RemoteProtocolError for another height, a header that is not the locked one, or a repeated seal.
    """
    closed = _get_closed(state, seal.height)
    if closed.locked is None:
        raise RemoteProtocolError("ROUND-15", "a seal after a quorum of readys", "a header not yet locked")
    header = closed.build_header(closed.locked)
    if seal.header != compute_header_digest(header):
        raise RemoteProtocolError("ROUND-15", "the locked header", seal.header.hex()[:12])
    if seal.validator in closed.seals:
        raise RemoteProtocolError("ROUND-15", "one seal per validator and height", "a second one")
    seals = {**closed.seals, seal.validator: seal}
    if len(seals) < state.quorum:
        return replace(state, closed=replace(closed, seals=seals))
    certificate = tuple(item for _, item in sorted(seals.items()))
    return replace(state, head=Block(header, certificate, closed.body), closed=None)
