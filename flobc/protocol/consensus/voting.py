"""Vote batches: new update headers, votes and base reports enter the state (ROUND-1..ROUND-9)."""

from __future__ import annotations

from dataclasses import replace

from flobc.errors import RemoteProtocolError
from flobc.protocol.consensus.state import (
    ChainState,
    CoreState,
    KnownHeader,
    PendingUpdate,
    VoteEntry,
    build_identity_key,
)
from flobc.protocol.messages import (
    BaseReport,
    Fault,
    UpdateHeader,
    Vote,
    VoteBatch,
    compute_update_id,
    verify_header,
)
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.sync.policies import is_base_allowed, is_k_allowed

MAX_COORDINATE_BYTES = 4
"""No codec takes more for a coordinate, so nobody need hold more of a payload than this (ROUND-2)."""


def validate_header_form(state: ChainState, header: UpdateHeader) -> None:
    """Check what of a trainer's header no later record can mend: chain, k, form and signature (ROUND-1..ROUND-3).

    **Raises** RemoteProtocolError with the rule that the header breaks.
    """
    params, num_chunks = state.params, state.genesis.model.num_chunks
    if header.chain != state.chain:
        raise RemoteProtocolError("ROUND-1", f"chain {state.chain.hex()[:12]}", header.chain.hex()[:12])
    if not is_k_allowed(params.sync, header.k):
        raise RemoteProtocolError("ROUND-3", f"k below {params.sync.quota}", str(header.k))
    if header.codec != params.codec or header.num_chunks != num_chunks:
        raise RemoteProtocolError(
            "ROUND-2", f"{num_chunks} chunks of {params.codec}", f"{header.num_chunks} of {header.codec}"
        )
    most = MAX_COORDINATE_BYTES * state.genesis.model.size
    if header.size_bytes > most:
        raise RemoteProtocolError("ROUND-2", f"a payload of at most {most} bytes", f"{header.size_bytes} bytes")
    if header.num_examples < 1:
        raise RemoteProtocolError("ROUND-2", "at least one example", str(header.num_examples))
    if not verify_header(header):
        raise RemoteProtocolError("WIRE-9", "the trainer's signature", "a signature that does not verify")


def validate_update_header(state: ChainState, header: UpdateHeader) -> bytes:
    """Check whether a trainer's header may enter the open round and return the update's id (ROUND-1..ROUND-3).

    Depends on the log and the signed bytes alone, so every honest node judges alike.

    **Raises** RemoteProtocolError with the rule that the header breaks.
    """
    update = validate_admission(state, header)
    validate_header_form(state, header)
    return update


def validate_admission(state: ChainState, header: UpdateHeader) -> bytes:
    """As ``validate_update_header``, for a header whose form is known to be right: it stays right on a chain.

    **Raises** RemoteProtocolError with the rule that the header breaks.
    """
    validate_base(state, header)
    update = compute_update_id(header)
    known = state.core.known.get(build_identity_key(header))
    if known is not None and known.update != update:
        raise RemoteProtocolError("ROUND-2", f"the known update {known.update.hex()[:12]}", update.hex()[:12])
    return update


def is_base_open(state: ChainState, trainer: bytes, base_height: int) -> bool:
    """Return whether a trainer is admitted and may still start from a base (ROUND-1, ROUND-3)."""
    return _find_closed_base(state, trainer, base_height) is None


def validate_base(state: ChainState, header: UpdateHeader) -> None:
    """Check that an update's trainer is admitted and may still start from its base (ROUND-1, ROUND-3).

    **Raises** RemoteProtocolError with the rule that the header breaks.
    """
    broken = _find_closed_base(state, header.trainer, header.base_height)
    if broken is not None:
        raise RemoteProtocolError(*broken)


def _find_closed_base(state: ChainState, trainer: bytes, base_height: int) -> tuple[str, str, str] | None:
    """Return the rule by which a trainer may not start from a base, what it expects and what was found; or None."""
    core, sync = state.core, state.params.sync
    entry = core.trainers.get(trainer)
    if entry is None:
        return "ROUND-1", "an admitted trainer", trainer.hex()[:12]
    if not is_base_allowed(sync, base_height, core.height):
        return "ROUND-3", f"a base within {sync.max_staleness} of {core.height}", str(base_height)
    if base_height <= entry.last_used_base:
        return "ROUND-3", f"a base newer than {entry.last_used_base}", str(base_height)
    return None


def _add_headers(state: ChainState, headers: tuple[UpdateHeader, ...]) -> ChainState:
    if not headers:
        return state
    core = state.core
    pending, known = dict(core.pending), dict(core.known)
    for place, header in enumerate(headers):
        identity = build_identity_key(header)
        if identity in known:
            continue
        try:
            update = validate_update_header(state, header)
        except RemoteProtocolError:
            continue  # a header that came too late is skipped alone; its sender may be honest (ROUND-4)
        pending[update] = PendingUpdate(header, core.position, place, {})
        known[identity] = KnownHeader(update, header.trainer, header.base_height, header.payload_root, core.position)
    return replace(state, core=replace(core, pending=pending, known=known))


def is_vote_well_formed(state: ChainState, vote: Vote) -> bool:
    """Return whether a vote is a rounded score in range, or a fault at the lowest score (ROUND-6)."""
    if vote.fault is not Fault.NONE:
        return vote.score == -SCORE_ONE
    return abs(vote.score) <= SCORE_ONE and vote.score % state.params.scoring.score_step == 0


def _add_votes(state: ChainState, batch: VoteBatch) -> CoreState:
    pending = dict(state.core.pending)
    for vote in batch.votes:
        update = pending.get(vote.update)
        if update is None or batch.validator in update.votes or not is_vote_well_formed(state, vote):
            continue
        entry = VoteEntry(vote.score, vote.fault, vote.elapsed_ms)
        pending[vote.update] = replace(update, votes={**update.votes, batch.validator: entry})
    return replace(state.core, pending=pending)


def _add_report(core: CoreState, validator: bytes, report: BaseReport | None) -> CoreState:
    if report is None or report.height != core.height or validator in core.reports:
        return core
    return replace(core, reports={**core.reports, validator: report})


def apply_vote_batch(state: ChainState, batch: VoteBatch) -> ChainState:
    """Take in what of the batch applies; each header, vote and report that does not is skipped alone (ROUND-4).

    **Raises** RemoteProtocolError when the batch is oversize, its sender lost its votes, or nothing in it applies.
    """
    if batch.validator in state.core.muted:
        raise RemoteProtocolError("CHAIN-12", "a validator that did not equivocate", batch.validator.hex()[:12])
    if len(batch.votes) > state.params.max_votes_per_batch or len(batch.headers) > len(batch.votes):
        raise RemoteProtocolError(
            "ROUND-5",
            f"at most {state.params.max_votes_per_batch} votes and a header for some of them",
            f"{len(batch.votes)} votes and {len(batch.headers)} headers",
        )
    before = state.core
    voted = {vote.update for vote in batch.votes}
    state = _add_headers(state, tuple(header for header in batch.headers if compute_update_id(header) in voted))
    core = _add_report(_add_votes(state, batch), batch.validator, batch.report)
    if core == before:
        raise RemoteProtocolError("ROUND-5", "a vote or report that still applies", "none")
    return replace(state, core=core)
