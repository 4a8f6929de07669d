"""Closing a round: scores, decisions, weights and trust freeze at one record (ROUND-9..ROUND-12)."""

from __future__ import annotations

from dataclasses import replace

from flobc.protocol.bounds import PPM
from flobc.protocol.chain.block import (
    NO_DIGEST,
    Body,
    Closing,
    CountedVote,
    CountedVotes,
    Decision,
    Header,
    Reason,
    compute_decisions_root,
    compute_evidence_root,
)
from flobc.protocol.consensus.state import (
    ChainState,
    ClosedRound,
    CoreState,
    KnownHeader,
    PendingUpdate,
    get_active_trainers,
    is_decided,
)
from flobc.protocol.encoding import compute_digest
from flobc.protocol.median import compute_lower_median
from flobc.protocol.messages import Fault
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.sync.policies import Close, compute_discount, decide, is_base_allowed
from flobc.protocol.trust.policies import credit, effective_trust
from flobc.protocol.trust.state import Scored
from flobc.protocol.trust.weights import Standing, compute_weights

MAX_NORM = 2**64 - 1


def close_if_due(state: ChainState) -> ChainState:
    """Close the open round at the record just applied if the sync policy says so (ROUND-12)."""
    if state.closed is not None:
        return state
    decision = decide(state.params.sync, state.round_view)
    return _close(state, Closing[decision.reason.upper()]) if isinstance(decision, Close) else state


def _count_votes(update: PendingUpdate) -> CountedVotes:
    return CountedVotes(
        tuple(
            CountedVote(validator, vote.score, vote.fault, vote.elapsed_ms)
            for validator, vote in sorted(update.votes.items())
        )
    )


def _judge(state: ChainState, update: PendingUpdate) -> tuple[Reason, Fault, int]:
    """Return reason, fault and score of a decided update by its votes alone (ROUND-10)."""
    score = compute_lower_median([vote.score for vote in update.votes.values()])
    faults = [int(vote.fault) for vote in update.votes.values() if vote.fault is not Fault.NONE]
    if 2 * len(faults) > len(update.votes):
        return Reason.FAULT, Fault(compute_lower_median(faults)), -SCORE_ONE
    if score < -state.params.scoring.accept_tolerance:
        return Reason.LOW_SCORE, Fault.NONE, score
    return Reason.ACCEPTED, Fault.NONE, score


def _mark_copies(core: CoreState, decisions: list[Decision], roots: dict[bytes, bytes]) -> list[Decision]:
    """Let one acceptable update per payload through: the earlier block's, then the log's earlier one (ROUND-11).

    Only acceptable updates own a payload. A header costs its sender nothing, so if the first header
    in the log did, one that no payload ever follows would silence the update it copied.
    """
    owned = {known.payload_root for known in core.known.values() if known.accepted_height is not None}
    marked = []
    for item in decisions:
        root = roots[item.update]
        if item.reason is not Reason.ACCEPTED:
            marked.append(item)
            continue
        marked.append(replace(item, reason=Reason.DUPLICATE) if root in owned else item)
        owned.add(root)
    return marked


def _supersede(decisions: list[Decision]) -> list[Decision]:
    """Keep of each trainer's accepted updates the one with the highest (base, k) (ROUND-11)."""
    newest: dict[bytes, tuple[int, int]] = {}
    for item in decisions:
        if item.reason is Reason.ACCEPTED:
            newest[item.trainer] = max(newest.get(item.trainer, (-1, -1)), (item.base_height, item.k))
    return [
        replace(item, reason=Reason.SUPERSEDED)
        if item.reason is Reason.ACCEPTED and newest[item.trainer] != (item.base_height, item.k)
        else item
        for item in decisions
    ]


def _decide_updates(state: ChainState) -> tuple[list[tuple[Decision, PendingUpdate]], tuple[CountedVotes, ...]]:
    """Judge every decided update in log order, weights not yet set (ROUND-9..ROUND-11); give their votes with them."""
    core = state.core
    decided = sorted(
        ((update, item) for update, item in core.pending.items() if is_decided(state, item)),
        key=lambda pair: (pair[1].position, pair[1].place),
    )
    votes = tuple(_count_votes(item) for _, item in decided)
    decisions = []
    for (update, item), counted in zip(decided, votes, strict=True):
        header = item.header
        reason, fault, score = _judge(state, item)
        staleness = core.height - header.base_height
        decisions.append(
            Decision(
                update=update,
                trainer=header.trainer,
                base_height=header.base_height,
                k=header.k,
                reason=reason,
                fault=fault,
                score=score,
                staleness=staleness,
                discount=compute_discount(state.params.sync, staleness),
                weight=0,
                votes=compute_digest(counted),
            )
        )
    roots = {update: item.header.payload_root for update, item in decided}
    marked = _supersede(_mark_copies(core, decisions, roots))
    return list(zip(marked, (item for _, item in decided), strict=True)), votes


def _weigh(state: ChainState, judged: list[tuple[Decision, PendingUpdate]]) -> list[Decision]:
    """Set the weights of the accepted updates from trust and examples before this round's credit (AGG)."""
    core = state.core
    used = [(decision, item) for decision, item in judged if decision.reason is Reason.ACCEPTED]
    submitters = {decision.trainer for decision, _ in used}
    active = sorted(submitters.union(get_active_trainers(state)))
    trust = effective_trust(state.params.trust, core.trust, tuple(active))
    examples = {decision.trainer: item.header.num_examples for decision, item in used}
    weights = compute_weights(
        state.params.weights,
        [Standing(trust[item.trainer], examples[item.trainer]) for item, _ in used],
        [Standing(trust[key], examples.get(key, core.trainers[key].num_examples)) for key in active],
    )
    by_update = {decision.update: weight for (decision, _), weight in zip(used, weights, strict=True)}
    return [replace(decision, weight=by_update.get(decision.update, 0)) for decision, _ in judged]


def _credit_trust(state: ChainState, decisions: list[Decision], height: int) -> CoreState:
    """Apply the trust policy; a convicted trainer counts as one fault whatever else it sent (ROUND-12).

    What is above the norm bound counts as rejected, not as a fault: the bound is what others' norms made it.
    """
    convicted = state.core.convicted
    results = [
        Scored(
            trainer=item.trainer,
            base_height=item.base_height,
            score=item.score,
            discount=item.discount,
            fault=item.reason is Reason.FAULT and item.fault is not Fault.NORM_BOUND,
            accepted=item.reason not in (Reason.FAULT, Reason.LOW_SCORE),
            used=item.weight > 0,
        )
        for item in decisions
        if item.trainer not in convicted
    ]
    results += [
        Scored(key, state.core.height, -SCORE_ONE, 0, fault=True, accepted=False, used=False) for key in convicted
    ]
    return replace(state.core, trust=credit(state.params.trust, state.core.trust, results, height))


def _update_norm_bounds(state: ChainState, judged: list[tuple[Decision, PendingUpdate]]) -> dict[int, int]:
    """Return the bounds per base height, the new height's from this block's norms (ROUND-7).

    A bound falls by half a block at most and never to 0, which would mean none, and norms above it
    count: otherwise a few fast trainers with tiny updates would shut all others out for ever.
    """
    core, params = state.core, state.params
    bound = core.norm_bounds[core.height]
    factor = params.aggregation.norm_factor_ppm
    norms = [
        item.header.norm
        for decision, item in judged
        if decision.reason is Reason.ACCEPTED or decision.fault is Fault.NORM_BOUND
    ]
    if norms and factor:
        median = compute_lower_median(norms)
        bound = min(max(median * factor // PPM, bound // 2, 1), MAX_NORM)
    kept = {
        height: value
        for height, value in core.norm_bounds.items()
        if is_base_allowed(params.sync, height, core.height + 1)
    }
    return {**kept, core.height + 1: bound}


def _update_known(state: ChainState, judged: list[tuple[Decision, PendingUpdate]]) -> dict[bytes, KnownHeader]:
    """Return the headers still within the window, those of acceptable updates marked as owners (ROUND-11)."""
    height = state.core.height + 1
    owners = {item.update for item, _ in judged if item.reason in (Reason.ACCEPTED, Reason.SUPERSEDED)}
    return {
        key: replace(known, accepted_height=height) if known.update in owners else known
        for key, known in state.core.known.items()
        if is_base_allowed(state.params.sync, known.base_height, height)
    }


def _open_next_round(state: ChainState, core: CoreState, judged: list[tuple[Decision, PendingUpdate]]) -> CoreState:
    """Return the core for the next round: decided and too stale updates leave, counters start anew (ROUND-12)."""
    height = core.height + 1
    used = [(decision, item) for decision, item in judged if decision.reason is Reason.ACCEPTED]
    trainers = dict(core.trainers)
    for decision, item in used:
        trainers[decision.trainer] = replace(
            trainers[decision.trainer],
            last_accepted_height=height,
            last_used_base=decision.base_height,
            num_examples=item.header.num_examples,
        )
    decided = {decision.update for decision, _ in judged}
    sync = state.params.sync
    return replace(
        core,
        height=height,
        trainers=trainers,
        pending={
            update: item
            for update, item in core.pending.items()
            if update not in decided
            and is_base_allowed(sync, item.header.base_height, height)
            and item.header.base_height > trainers[item.header.trainer].last_used_base
        },
        known=_update_known(state, judged),
        norm_bounds=_update_norm_bounds(state, judged),
        reports={},
        timeouts=(),
        step=0,
        decided_at_step=0,
        finished_at_step=0,
        joins=0,
        evidence=(),
        convicted=(),
    )


def _close(state: ChainState, closing: Closing) -> ChainState:
    core = state.core
    judged, votes = _decide_updates(state)
    decisions = tuple(_weigh(state, judged))
    pairs = list(zip(decisions, (item for _, item in judged), strict=True))
    credited = _credit_trust(state, list(decisions), core.height + 1)
    reports = [report for _, report in sorted(core.reports.items())]
    loss = compute_lower_median([report.loss for report in reports]) if reports else None
    next_core = _open_next_round(state, credited, pairs)
    if core.initial_loss is None:
        next_core = replace(next_core, initial_loss=loss)
    template = Header(
        chain=state.chain,
        height=core.height + 1,
        parent=state.head_digest,
        closing_position=core.position,
        log_digest=core.log_digest,
        num_decisions=len(decisions),
        decisions_root=compute_decisions_root(decisions),
        evidence_root=compute_evidence_root(core.evidence),
        state=compute_digest(next_core),
        model=NO_DIGEST,
        closing=closing,
        step=core.step,
        loss=loss,
        accuracy=compute_lower_median([report.accuracy for report in reports]) if reports else None,
    )
    body = Body(
        decisions=decisions,
        headers=tuple(item.header for _, item in pairs),
        votes=votes,
        evidence=core.evidence,
    )
    return replace(state, core=next_core, closed=ClosedRound(template, body, {}, None, {}))
