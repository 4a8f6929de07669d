"""Chain state: everything that the log's prefix determines (CHAIN-10). Immutable; transitions replace parts."""

from __future__ import annotations

import dataclasses
import functools
import hashlib

from flobc.errors import RemoteProtocolError, UsageError
from flobc.protocol.chain.block import (
    EMPTY_BODY,
    NO_DIGEST,
    Block,
    Body,
    Closing,
    Header,
    compute_decisions_root,
    compute_evidence_root,
    compute_header_digest,
)
from flobc.protocol.encoding import I32, I64, U16, U32, U64, Digest, Key, compute_digest, decode, tagged
from flobc.protocol.median import compute_lower_median
from flobc.protocol.messages import BaseReport, Evidence, Fault, Seal, UpdateHeader
from flobc.protocol.params import ChainParams, Genesis, Parent, get_chain_id, get_quorum, validate_genesis
from flobc.protocol.sync.adaptive import Arrival
from flobc.protocol.sync.policies import RoundView
from flobc.protocol.trust.policies import admit_genesis, carry
from flobc.protocol.trust.state import TrustState


@dataclasses.dataclass(frozen=True)
class TrainerEntry:
    """What the chain remembers of one admitted trainer; ``last_used_base`` is -1 before its first use."""

    admitted_height: U64
    by_genesis: bool
    last_accepted_height: U64 | None = None
    last_used_base: I64 = -1
    num_examples: U64 = 1


@dataclasses.dataclass(frozen=True)
class VoteEntry:
    """A counted vote on a pending update."""

    score: I32
    fault: Fault
    elapsed_ms: U32


@dataclasses.dataclass(frozen=True)
class PendingUpdate:
    """An update that the log knows and no block has decided.

    Its header entered with the record at ``position``, as the ``place``-th header of that batch.
    """

    header: UpdateHeader
    position: U64
    place: U16
    votes: dict[Key, VoteEntry]


@dataclasses.dataclass(frozen=True)
class KnownHeader:
    """An update header seen in the log within the staleness window, kept to tell doubles and equivocation.

    ``accepted_height`` is the block whose votes found it good enough: from there on it owns its payload.
    """

    update: Digest
    trainer: Key
    base_height: U64
    payload_root: Digest
    position: U64
    accepted_height: U64 | None = None
    convicted: bool = False


@dataclasses.dataclass(frozen=True)
class CoreState:
    """The hashed part: the state after the last closing record plus what came since (CHAIN-10).

    ``height`` is the last *closed* block's; the open round makes ``height + 1``. ``norm_bounds``
    maps a base height to the largest norm (grid units) of updates from it, ``initial_loss`` is
    the validators' median loss of the untrained model, the unit of all scores (ROUND-6).
    """

    height: U64
    position: U64
    log_digest: Digest
    trust: TrustState
    trainers: dict[Key, TrainerEntry]
    pending: dict[Digest, PendingUpdate]
    known: dict[bytes, KnownHeader]
    norm_bounds: dict[U64, U64]
    initial_loss: I64 | None
    reports: dict[Key, BaseReport]
    timeouts: tuple[Key, ...]
    step: U32
    decided_at_step: U32
    finished_at_step: U32
    joins: U32
    invitations: dict[Key, U32]
    muted: tuple[Key, ...]
    evidence: tuple[Evidence, ...]
    convicted: tuple[Key, ...]


@dataclasses.dataclass(frozen=True)
class ClosedRound:
    """A round whose outcome is frozen and which waits for its certificate (ROUND-12..ROUND-16).

    ``template`` is the next header but for the model's digest, which no record can know before
    somebody has aggregated. ``readys`` maps validator to model digest; ``locked`` is the model
    digest that a quorum was ready with first.
    """

    template: Header
    body: Body
    readys: dict[bytes, bytes]
    locked: bytes | None
    seals: dict[bytes, Seal]

    @property
    def height(self) -> int:
        """The height of the block that this round makes."""
        return self.template.height

    def build_header(self, model: bytes) -> Header:
        """Return the header for a computed model digest."""
        return dataclasses.replace(self.template, model=model)


@dataclasses.dataclass(frozen=True)
class ChainState:
    """Where a chain stands: its certified head, its core state, and the closed round that waits for seals."""

    genesis: Genesis
    chain: bytes
    head: Block
    core: CoreState
    closed: ClosedRound | None = None

    @property
    def params(self) -> ChainParams:
        """The chain's consensus params."""
        return self.genesis.params

    @functools.cached_property
    def quorum(self) -> int:
        """How many validators must agree."""
        return get_quorum(len(self.genesis.validators))

    @functools.cached_property
    def round_view(self) -> RoundView:
        """What the sync policy may look at: who is active, who is decided, how many steps ran out."""
        decided = [item for item in self.core.pending.values() if is_decided(self, item)]
        return RoundView(
            active=get_active_trainers(self),
            decided_trainers=tuple(sorted({item.header.trainer for item in decided})),
            decided_updates=len(decided),
            step=self.core.step,
            decided_at_step=self.core.decided_at_step,
            finished_at_step=self.core.finished_at_step,
            arrivals=find_arrivals(self.head.body) if self.params.sync.scheme == "adaptive" else (),
        )

    @property
    def height(self) -> int:
        """The height of the certified head."""
        return self.head.height

    @property
    def head_digest(self) -> bytes:
        """The certified head's header digest."""
        return compute_header_digest(self.head.header)


def build_identity_key(header: UpdateHeader) -> bytes:
    """Return the bytes of an update's identity (trainer, base height, k) (ROUND-2)."""
    return header.trainer + header.base_height.to_bytes(8, "big") + header.k.to_bytes(2, "big")


def get_active_trainers(state: ChainState) -> tuple[bytes, ...]:
    """Return the trainers that rounds wait for, in ascending order of key (SYNC, CHAIN-9).

    Active = admitted by genesis or invitation within, or accepted in, the last ``liveness_rounds``
    blocks; an invited one once a closed round's state has it, for only then it can know; under ``open``
    admission only acceptance counts. Asked after every record, hence one flat loop.
    """
    height = state.core.height
    before = height - state.params.sync.liveness_rounds
    by_invitation = state.params.admission.mode == "invite"
    active = [
        trainer
        for trainer, entry in state.core.trainers.items()
        if (entry.last_accepted_height is not None and entry.last_accepted_height > before)
        or ((entry.by_genesis or (by_invitation and entry.admitted_height < height)) and entry.admitted_height > before)
    ]
    return tuple(sorted(active))


def find_arrivals(body: Body) -> tuple[Arrival, ...]:
    """Return when each trainer's first update in a block came, by the lower median of its votes (SYNC-15)."""
    first: dict[bytes, Arrival] = {}
    for decision, counted in zip(body.decisions, body.votes, strict=True):
        found = Arrival(compute_lower_median([vote.elapsed_ms for vote in counted.votes]))
        known = first.setdefault(decision.trainer, found)
        first[decision.trainer] = min(known, found, key=lambda arrival: arrival.elapsed_ms)
    return tuple(first[trainer] for trainer in sorted(first))


def is_decided(state: ChainState, update: PendingUpdate) -> bool:
    """Return whether a quorum has voted on a pending update (ROUND-9)."""
    return len(update.votes) >= state.quorum


def build_initial_state(genesis: Genesis) -> ChainState:
    """Return the state before the first record: block 0 is the genesis itself (CHAIN-1).

    A successor begins with the trust and the trainers of its parent (CHAIN-17).

    **Raises** UsageError when the genesis is not one that a chain can live with.
    """
    validate_genesis(genesis)
    core = build_first_core(genesis)
    parent = NO_DIGEST
    if genesis.parent is not None:
        core = carry_core(genesis, core, genesis.parent)
        parent = compute_header_digest(genesis.parent.header)
    chain = get_chain_id(genesis)
    header = Header(
        chain=chain,
        height=0,
        parent=parent,
        closing_position=0,
        log_digest=NO_DIGEST,
        num_decisions=0,
        decisions_root=compute_decisions_root(()),
        evidence_root=compute_evidence_root(()),
        state=compute_digest(core),
        model=genesis.initial_model,
        closing=Closing.GENESIS,
        step=0,
        loss=None,
        accuracy=None,
    )
    return ChainState(genesis, chain, Block(header, (), EMPTY_BODY), core)


def build_first_core(genesis: Genesis) -> CoreState:
    """Return the core state of a chain without a past: all members equal, nothing pending."""
    return CoreState(
        height=0,
        position=0,
        log_digest=NO_DIGEST,
        trust=admit_genesis(genesis.params.trust, genesis.trainers),
        trainers={trainer: TrainerEntry(0, by_genesis=True) for trainer in genesis.trainers},
        pending={},
        known={},
        norm_bounds={0: genesis.params.aggregation.norm_cap},
        initial_loss=None,
        reports={},
        timeouts=(),
        step=0,
        decided_at_step=0,
        finished_at_step=0,
        joins=0,
        invitations={},
        muted=(),
        evidence=(),
        convicted=(),
    )


def carry_core(genesis: Genesis, core: CoreState, parent: Parent) -> CoreState:
    """Return a successor's first core with what its parent's core state hands on (CHAIN-17).

    What is pending stays behind: its signatures name the old chain.

    **Raises** UsageError when the state in the genesis is not the one that the parent's header commits to.
    """
    try:
        old = decode_state(parent.state, parent.header.state)
    except RemoteProtocolError as error:
        raise UsageError(
            f"The genesis holds another state than its parent's block {parent.header.height} commits to ({error}); "
            "get it anew from whoever assembled it."
        ) from error
    if genesis.initial_model != parent.header.model:
        raise UsageError("The genesis begins with another model than its parent ended with; assemble it anew.")
    params, mode = genesis.params, parent.params.admission.mode
    bounds = core.norm_bounds
    if params.aggregation == parent.params.aggregation:
        # A stranger's genesis may hold a state that no log leads to; its approvals are somebody else's to check.
        bounds = {0: old.norm_bounds.get(old.height, params.aggregation.norm_cap)}
    return dataclasses.replace(
        core,
        trust=carry(params.trust, parent.params.trust, old.trust, genesis.trainers, old.height),
        trainers={trainer: _carry_trainer(old.trainers.get(trainer), mode) for trainer in genesis.trainers},
        norm_bounds=bounds,
        initial_loss=old.initial_loss,
        muted=tuple(key for key in old.muted if key in genesis.validators),
    )


def _carry_trainer(entry: TrainerEntry | None, mode: str) -> TrainerEntry:
    """Return a trainer's entry in the successor; who came in by itself and was never accepted is not waited for."""
    if entry is None:
        return TrainerEntry(0, by_genesis=True)
    is_waited_for = entry.by_genesis or mode == "invite" or entry.last_accepted_height is not None
    return TrainerEntry(0, by_genesis=is_waited_for, num_examples=entry.num_examples)


def compute_state_digest(data: bytes) -> bytes:
    """Return the digest of an encoded core state, as headers commit to it (CHAIN-8, WIRE-8)."""
    return hashlib.sha256(tagged(CoreState.__name__, data)).digest()


def decode_state(data: bytes, digest: bytes) -> CoreState:
    """Return the core state with this digest. **Raises** RemoteProtocolError for anything else."""
    found = compute_state_digest(data)
    if found != digest:
        raise RemoteProtocolError("CHAIN-8", f"the state {digest.hex()[:12]}", found.hex()[:12])
    return decode(CoreState, data)
