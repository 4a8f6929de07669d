"""The validator's role: score, vote, time out, aggregate, get ready, seal, and report liars (ROUND-4..ROUND-17)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice, zip_longest

from flobc.errors import RemoteProtocolError, UsageError
from flobc.protocol.chain.block import compute_header_digest
from flobc.protocol.consensus.admission import apply_evidence, build_evidence, is_equivocation
from flobc.protocol.consensus.state import (
    ChainState,
    ClosedRound,
    build_identity_key,
)
from flobc.protocol.consensus.voting import is_base_open, validate_header_form
from flobc.protocol.messages import (
    Evidence,
    Fault,
    Ready,
    Seal,
    Timeout,
    UpdateHeader,
    Vote,
    VoteBatch,
    compute_update_id,
    decode_record,
    encode_record,
    verify_message,
)
from flobc.protocol.params import SCORE_ONE, Genesis, get_chain_id
from flobc.protocol.roles.duties import (
    Aggregate,
    BaseEvaluation,
    Duty,
    EvaluateBase,
    Publish,
    RunTimer,
    ScoreUpdate,
)
from flobc.protocol.sync.policies import is_base_allowed, timer

MAX_BASES = 8
"""Of how many models at most a validator keeps its evaluation, and a node the tensors, for late updates."""
MAX_HEIGHTS_AHEAD = 16
"""How far ahead of its own reading of the log a validator keeps updates; trainers follow the same log."""


@dataclass(frozen=True)
class ValidatorRole:
    """One validator's own memory: results that the log may not hold yet.

    ``headers`` are updates whose payload is complete, in order of arrival, ``identities`` the same by what their
    trainers must not sign twice, ``votes`` own results by update, ``unlogged`` those that the log may lack,
    ``results`` own model digests by height, ``evidence`` conflicts by the update's identity or the sealing key,
    ``stray_seals`` others' that the chain did not count, ``seal`` the last one made durable, ``has_approved``
    whether it gave this chain up for a successor: then it seals no more (CHAIN-14).
    """

    key: bytes
    bases: dict[int, BaseEvaluation] = field(default_factory=dict)
    headers: dict[bytes, UpdateHeader] = field(default_factory=dict)
    identities: dict[bytes, bytes] = field(default_factory=dict)
    votes: dict[bytes, Vote] = field(default_factory=dict)
    unlogged: dict[bytes, Vote] = field(default_factory=dict)
    results: dict[int, bytes] = field(default_factory=dict)
    expired: tuple[tuple[int, int], ...] = ()
    evidence: dict[bytes, Evidence] = field(default_factory=dict)
    stray_seals: dict[bytes, Seal] = field(default_factory=dict)
    seal: Seal | None = None
    has_approved: bool = False


def is_wanted(state: ChainState, header: UpdateHeader) -> bool:
    """Return whether a payload is worth receiving: a member's, well formed, votable now or soon (ROUND-4)."""
    if header.trainer not in state.core.trainers or not _is_well_formed(state, header):
        return False
    return _is_open(state, compute_update_id(header), header)


def on_payloads_complete(role: ValidatorRole, state: ChainState, headers: Iterable[UpdateHeader]) -> ValidatorRole:
    """Return the role after whole payloads arrived, in this order; a second header of an identity becomes evidence.

    Headers that can never be voted on are dropped here, so that nobody fills this node's memory or
    its batches with them (ROUND-4).
    """
    sound = [item for item in headers if item.trainer in state.core.trainers and _is_well_formed(state, item)]
    if not sound:
        return role
    held, identities, evidence = dict(role.headers), dict(role.identities), dict(role.evidence)
    for header in sound:
        identity, update = build_identity_key(header), compute_update_id(header)
        if identity in identities:
            other = held[identities[identity]]
            if identity not in evidence and is_equivocation(other, header):
                evidence[identity] = build_evidence(encode_record(other), encode_record(header))
        elif _is_open(state, update, header):
            held[update], identities[identity] = header, update
    if len(held) == len(role.headers) and len(evidence) == len(role.evidence):
        return role
    return replace(role, headers=held, identities=identities, evidence=evidence)


def on_record_refused(role: ValidatorRole, state: ChainState, record: bytes) -> ValidatorRole:
    """Return the role after the chain refused a record of the log; a validator's second seal becomes evidence.

    The chain counts seals of the locked header only until there are enough, so the role itself
    remembers each validator's last seal that was not counted.
    """
    try:
        seal = decode_record(record)
    except RemoteProtocolError:
        return role
    if not isinstance(seal, Seal) or seal.validator not in state.genesis.validators or not verify_message(seal):
        return role
    counted = [*(state.closed.seals.values() if state.closed is not None else ()), *state.head.certificate]
    stray = role.stray_seals.get(seal.validator)
    conflict = next((item for item in (*counted, stray) if item is not None and is_equivocation(item, seal)), None)
    if conflict is None:
        return replace(role, stray_seals={**role.stray_seals, seal.validator: seal})
    if seal.validator in role.evidence:
        return role
    return replace(role, evidence={**role.evidence, seal.validator: build_evidence(encode_record(conflict), record)})


def on_evaluated(role: ValidatorRole, base: BaseEvaluation) -> ValidatorRole:
    """Return the role after it evaluated a certified model."""
    return replace(role, bases={**role.bases, base.report.height: base})


def on_scored(role: ValidatorRole, votes: Iterable[Vote]) -> ValidatorRole:
    """Return the role after it scored updates or found faults in them."""
    found = {vote.update: vote for vote in votes}
    return replace(role, votes={**role.votes, **found}, unlogged={**role.unlogged, **found})


def forget_logged(role: ValidatorRole, state: ChainState) -> ValidatorRole:
    """Return the role without votes to publish that the log has: duties are asked for after each of its records."""
    pending, key = state.core.pending, role.key
    left = {
        update: vote
        for update, vote in role.unlogged.items()
        if (item := pending.get(update)) is None or key not in item.votes
    }
    return role if len(left) == len(role.unlogged) else replace(role, unlogged=left)


def on_aggregated(role: ValidatorRole, height: int, model: bytes) -> ValidatorRole:
    """Return the role after it computed the model of a closed round."""
    return replace(role, results={height: model})


def on_timer_expired(role: ValidatorRole, height: int, step: int) -> ValidatorRole:
    """Return the role after its timer for a step ran out."""
    kept = tuple(item for item in role.expired if item[0] >= height)
    return replace(role, expired=(*kept, (height, step)))


def build_role(genesis: Genesis, key: bytes, sealed: Seal | None, *, has_approved: bool) -> ValidatorRole:
    """Return the role of a validator that begins on this chain, with what its store holds (CHAIN-14, CHAIN-18).

    **Raises** UsageError when the store's last seal is of a chain that neither is this one nor its parent:
    with it this validator would serve two chains that both claim to be the one successor.
    """
    chain = get_chain_id(genesis)
    if sealed is None or sealed.chain == chain:
        return ValidatorRole(key, seal=sealed, has_approved=has_approved)
    if genesis.parent is None or sealed.chain != genesis.parent.header.chain:
        raise UsageError(
            f"This validator sealed on chain {sealed.chain.hex()[:12]}, which is neither chain {chain.hex()[:12]} nor "
            "its parent; go on with that one, or take another key and another directory."
        )
    return ValidatorRole(key, has_approved=has_approved)


def on_sealed(role: ValidatorRole, seal: Seal) -> ValidatorRole:
    """Return the role after ``seal`` was made durable; from here on no other seal for its height exists."""
    return replace(role, seal=seal)


def forget_old(role: ValidatorRole, state: ChainState) -> ValidatorRole:
    """Return the role without headers, votes, reports and evidence that no open or future round can use.

    A base's evaluation stays as long as a late update may start from it: its score is measured against it.
    """
    keep = {update: header for update, header in role.headers.items() if _is_open(state, update, header)}
    oldest = state.height - MAX_BASES
    return replace(
        role,
        headers=keep,
        identities={identity: update for identity, update in role.identities.items() if update in keep},
        votes={update: vote for update, vote in role.votes.items() if update in keep},
        unlogged={update: vote for update, vote in role.unlogged.items() if update in keep},
        bases={
            height: item
            for height, item in role.bases.items()
            if height > oldest and is_base_allowed(state.params.sync, height, state.height)
        },
        evidence={key: item for key, item in role.evidence.items() if _is_evidence_due(state, item)},
    )


def get_duties(role: ValidatorRole, state: ChainState) -> tuple[Duty, ...]:
    """Return all that the validator owes now, in the order in which it should be done, however much it is."""
    return (*get_first_duties(role, state), *find_scoring_duties(role, state), *get_last_duties(role, state))


def get_first_duties(role: ValidatorRole, state: ChainState) -> list[Duty]:
    """Return what comes before scoring: evidence, the closed round, the base to measure scores against."""
    duties: list[Duty] = [Publish(item) for _, item in sorted(role.evidence.items()) if _is_evidence_due(state, item)]
    if state.closed is not None:
        duties += _get_sealing_duties(role, state, state.closed)
    if state.height not in role.bases:
        duties.append(EvaluateBase(state.height, state.head.header.model))
    return duties


def find_scoring_duties(role: ValidatorRole, state: ChainState) -> Iterator[ScoreUpdate]:
    """Look for what is to be scored as far as the caller asks: of a thousand updates it may have room for a few.

    One trainer after the other in turn, in order of arrival, so that a flooder delays only itself (ROUND-4).
    """
    later: dict[bytes, list[ScoreUpdate]] = {}
    for update, header in role.headers.items():
        if update in role.votes:
            continue
        base = role.bases.get(header.base_height)
        if base is None or not _is_open(state, update, header):
            continue
        bound = state.core.norm_bounds.get(header.base_height, 0)
        unit_loss = base.report.loss if state.core.initial_loss is None else state.core.initial_loss
        duty = ScoreUpdate(update, header, base, bound, unit_loss)
        if header.trainer in later:
            later[header.trainer].append(duty)
        else:
            later[header.trainer] = []
            yield duty
    for turn in zip_longest(*later.values()):
        yield from (duty for duty in turn if duty is not None)


def get_last_duties(role: ValidatorRole, state: ChainState, *, may_vote: bool = True) -> list[Duty]:
    """Return what comes after scoring: the votes that the log lacks, if they may be sent now, and the timer."""
    batch = build_vote_batch(role, state) if may_vote else None
    duties: list[Duty] = [] if batch is None else [Publish(batch)]
    if state.closed is None:
        duties += _get_timer_duties(role, state)
    return duties


def build_score_vote(update: bytes, score: int, elapsed_ms: int) -> Vote:
    """Return a vote that gives a score in 1e-6 units."""
    return Vote(update, score, Fault.NONE, elapsed_ms)


def build_fault_vote(update: bytes, fault: Fault, elapsed_ms: int) -> Vote:
    """Return a vote that names an objective fault; its score is the lowest there is (ROUND-6)."""
    return Vote(update, -SCORE_ONE, fault, elapsed_ms)


def build_vote_batch(role: ValidatorRole, state: ChainState) -> VoteBatch | None:
    """Return the unsigned batch of everything the log lacks from this validator, or None (ROUND-5)."""
    if role.key in state.core.muted:
        return None
    # In order of arrival: in any order that a trainer can choose by its header, a copy would get in front of
    # the update it copies and own the payload (ROUND-11).
    due = tuple(islice(_find_due_votes(role, state), state.params.max_votes_per_batch))
    if not due:
        return None
    base = role.bases.get(state.core.height)
    report = base.report if base is not None and role.key not in state.core.reports else None
    headers = tuple(role.headers[vote.update] for vote in due if vote.update not in state.core.pending)
    return VoteBatch(state.chain, role.key, report, headers, due)


def _is_open(state: ChainState, update: bytes, header: UpdateHeader) -> bool:
    """Return whether a well-formed update may still be voted on: pending, or admissible now or soon (ROUND-4)."""
    if update in state.core.pending:
        return True
    if build_identity_key(header) in state.core.known:
        return False
    if header.base_height > state.core.height:
        # The trainer has seen blocks that this node has not yet read.
        return header.base_height <= state.core.height + MAX_HEIGHTS_AHEAD
    return is_base_open(state, header.trainer, header.base_height)


def _is_well_formed(state: ChainState, header: UpdateHeader) -> bool:
    try:
        validate_header_form(state, header)
    except RemoteProtocolError:
        return False
    return True


def _find_due_votes(role: ValidatorRole, state: ChainState) -> Iterator[Vote]:
    """Look for own votes that the log lacks, in order of arrival of the updates."""
    for update, header in role.headers.items():
        if update in role.unlogged:
            item = state.core.pending.get(update)
            if (role.key not in item.votes) if item is not None else _is_open(state, update, header):
                yield role.unlogged[update]


def _is_evidence_due(state: ChainState, evidence: Evidence) -> bool:
    try:
        apply_evidence(state, evidence)
    except RemoteProtocolError:
        return False
    return True


def _get_sealing_duties(role: ValidatorRole, state: ChainState, closed: ClosedRound) -> list[Duty]:
    model = role.results.get(closed.height)
    if model is None:
        return [Aggregate(closed)]
    digest = compute_header_digest(closed.build_header(model))
    if closed.locked is None:
        if closed.readys.get(role.key) == model:
            return []
        return [Publish(Ready(state.chain, role.key, closed.height, digest, model))]
    if closed.locked != model or role.key in closed.seals:
        return []
    if role.seal is not None and role.seal.height >= closed.height:
        return [Publish(role.seal)] if role.seal.header == digest else []
    if role.has_approved:
        return []
    return [Publish(Seal(state.chain, role.key, closed.height, digest))]


def _get_timer_duties(role: ValidatorRole, state: ChainState) -> list[Duty]:
    height, step = state.core.height + 1, state.core.step
    if (height, step) in role.expired:
        if role.key in state.core.timeouts or role.key in state.core.muted:
            return []
        return [Publish(Timeout(state.chain, role.key, height, step))]
    running = timer(state.params.sync, state.round_view)
    return [RunTimer(height, step, running.duration_ms)] if running is not None else []
