"""The log's one transition function: ``apply_record(state, bytes) -> state`` (CHAIN-10, CHAIN-11).

Everything a node believes follows from folding this over the log's records. An invalid record raises
and leaves the caller with the state it had; a valid one moves the position by exactly one.
"""

from __future__ import annotations

import hashlib
from dataclasses import replace

from flobc.errors import RemoteProtocolError
from flobc.protocol.consensus.admission import apply_evidence, apply_join
from flobc.protocol.consensus.closing import close_if_due
from flobc.protocol.consensus.sealing import apply_ready, apply_seal
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.consensus.voting import apply_vote_batch
from flobc.protocol.messages import (
    Evidence,
    Join,
    LogRecord,
    Ready,
    Seal,
    Signed,
    Timeout,
    UpdateChunk,
    UpdateHeader,
    VoteBatch,
    decode_record,
    verify_message,
)
from flobc.protocol.sync.policies import advance_step

MAX_RECORD_BYTES = 256 * 1024
"""Longest log record (WIRE-11): a full batch of votes with its headers fits with room to spare."""


def compute_log_digest(previous: bytes, record: bytes) -> bytes:
    """Return the rolling digest of the valid records (CHAIN-11)."""
    return hashlib.sha256(previous + hashlib.sha256(record).digest()).digest()


def apply_record(state: ChainState, data: bytes) -> ChainState:
    """Return the state after one more record of the log.

    **Raises** RemoteProtocolError, naming the broken rule, when the record is invalid or changes
    nothing; ``state`` is then what it was (CHAIN-11).
    """
    if len(data) > MAX_RECORD_BYTES:
        raise RemoteProtocolError("WIRE-11", f"at most {MAX_RECORD_BYTES} bytes", f"{len(data)} bytes")
    record = decode_record(data)
    if isinstance(record, UpdateHeader | UpdateChunk):
        raise RemoteProtocolError("WIRE-12", "a record of the log", f"{type(record).__name__} of the updates topic")
    _validate_sender(state, record)
    moved = _dispatch(state, record)
    core = replace(
        moved.core,
        position=state.core.position + 1,
        log_digest=compute_log_digest(state.core.log_digest, data),
    )
    return close_if_due(replace(moved, core=core))


def _validate_sender(state: ChainState, record: LogRecord) -> None:
    """Check chain, membership and signature of a record that has a sender (WIRE-9, ROUND-1)."""
    if not isinstance(record, Signed):
        return
    if record.chain != state.chain:
        raise RemoteProtocolError("WIRE-9", f"chain {state.chain.hex()[:12]}", record.chain.hex()[:12])
    if not isinstance(record, Join) and record.sender not in state.genesis.validators:
        raise RemoteProtocolError("ROUND-1", "a validator of the genesis", record.sender.hex()[:12])
    if not verify_message(record):
        raise RemoteProtocolError("WIRE-9", f"a signature of {record.sender.hex()[:12]}", "one that does not verify")


def _dispatch(state: ChainState, record: LogRecord) -> ChainState:
    if isinstance(record, VoteBatch):
        return apply_vote_batch(state, record)
    if isinstance(record, Timeout):
        return apply_timeout(state, record)
    if isinstance(record, Ready):
        return apply_ready(state, record)
    if isinstance(record, Seal):
        return apply_seal(state, record)
    if isinstance(record, Join):
        return apply_join(state, record)
    if isinstance(record, Evidence):
        return apply_evidence(state, record)
    raise RemoteProtocolError("WIRE-12", "a record of the log", type(record).__name__)


def apply_timeout(state: ChainState, timeout: Timeout) -> ChainState:
    """Count a validator's expired timer; a quorum moves the open round one step on (ROUND-17).

    **Raises** RemoteProtocolError unless it is this validator's first for the current step of the
    open round. No single node can force a barrier.
    """
    core = state.core
    if state.closed is not None or timeout.height != core.height + 1 or timeout.step != core.step:
        open_round = "none open" if state.closed is not None else f"height {core.height + 1}, step {core.step}"
        raise RemoteProtocolError(
            "ROUND-17", f"the open round ({open_round})", f"height {timeout.height}, step {timeout.step}"
        )
    if timeout.validator in core.timeouts or timeout.validator in core.muted:
        raise RemoteProtocolError("ROUND-17", "one timeout per validator and step", "a second one")
    voters = tuple(sorted((*core.timeouts, timeout.validator)))
    if len(voters) >= state.quorum:
        view = advance_step(state.round_view)
        core = replace(
            core,
            step=view.step,
            decided_at_step=view.decided_at_step,
            finished_at_step=view.finished_at_step,
            timeouts=(),
        )
        return replace(state, core=core)
    return replace(state, core=replace(core, timeouts=voters))
