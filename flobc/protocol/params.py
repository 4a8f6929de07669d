"""Genesis and the consensus params in it: everything that all nodes of a chain must agree on (CHAIN-1..CHAIN-4).

Params never change within a chain. They are hashed into the chain id, so two nodes with different
params are on different chains by construction.
"""

from __future__ import annotations

import dataclasses
from math import prod
from typing import Literal

from flobc.errors import RemoteProtocolError, UsageError
from flobc.protocol.bounds import CODECS, PPM, CodecName, require_choice, require_int
from flobc.protocol.chain.block import Header
from flobc.protocol.encoding import I32, U8, U16, U32, U64, Digest, Key, compute_digest
from flobc.protocol.identity import validate_public_key
from flobc.protocol.messages import Approve, Ready, Seal
from flobc.protocol.sync.params import SyncParams, validate_sync_params
from flobc.protocol.trust.params import TrustParams, validate_trust_params
from flobc.protocol.trust.weights import WeightParams, validate_weight_params

PROTOCOL_VERSION = 1
RULES = (
    "weighted_mean",
    "median",
    "trimmed_mean",
    "krum",
    "multi_krum",
    "geometric_median",
    "centered_clipping",
    "norm_clip",
    "coherence_filter",
)
MAX_FRACTION_BITS = 30
MAX_PROBE_SHIFT = 30
"""An update is below 2^30 grid units, so a larger shift leaves nothing of it; from 64 on machines disagree."""
MAX_RANK = 16
"""Most dimensions of a tensor: their product takes a reader time that grows with the square of their number."""
MAX_CHUNKS = 65_536
"""Most chunks of a model: a reader makes a job of each."""
MAX_VOTES_PER_BATCH = 512
"""A full batch with a header for every vote takes about half of a log record (WIRE-11)."""
SCORE_ONE = 1_000_000
"""Scores, losses and accuracies are integers in units of 1e-6."""
_MAX_U32 = 2**32 - 1

TensorKind = Literal["train", "buffer", "frozen"]


@dataclasses.dataclass(frozen=True)
class TensorSpec:
    """One tensor of the model: how it lies in the flat vector and how it is treated (AGG).

    ``lo`` and ``hi`` bound a buffer's coordinates in grid units. Frozen tensors are named for
    completeness but take no part in vector, updates or aggregation.
    """

    name: str
    shape: tuple[U32, ...]
    dtype: str
    kind: TensorKind
    fraction_bits: U8
    lo: I32
    hi: I32


@dataclasses.dataclass(frozen=True)
class ModelSpec:
    """The model's tensors and the number of coordinates per chunk of a payload or a stored model."""

    tensors: tuple[TensorSpec, ...]
    size: U64
    chunk_size: U32

    @property
    def num_chunks(self) -> int:
        """How many chunks the flat vector has."""
        return -(-self.size // self.chunk_size)


@dataclasses.dataclass(frozen=True)
class ScoringParams:
    """How validators score: which metric, how scores are rounded, and what is accepted (ROUND-6, ROUND-10).

    ``loss_floor`` is the least unit that losses are measured in; all in 1e-6 units. An update is
    scored at 2^-``probe_shift`` of its size, near what it will weigh among the others.
    """

    metric: Literal["loss", "accuracy"] = "loss"
    score_step: U32 = 1_000
    accept_tolerance: U32 = 20_000
    loss_floor: U32 = 1_000
    probe_shift: U8 = 2


@dataclasses.dataclass(frozen=True)
class AggregationParams:
    """Which rule makes the next model and how update norms are bounded (AGG).

    ``norm_factor_ppm`` times the lower median accepted norm of a block bounds the updates that
    start from it; 0 switches the bound off. ``norm_cap`` (grid units) bounds the first round.
    """

    rule: str = "weighted_mean"
    byzantine_ppm: U32 = 300_000
    trim_ppm: U32 = 200_000
    selected: U32 = 0
    norm_factor_ppm: U32 = 4_000_000
    norm_cap: U64 = 0


@dataclasses.dataclass(frozen=True)
class AdmissionParams:
    """Who may train: genesis members only, the operator's invitees, or anybody (CHAIN-9)."""

    mode: Literal["allowlist", "invite", "open"] = "allowlist"
    operator: Key | None = None
    max_trainers: U32 = 10_000
    max_joins_per_block: U32 = 100


@dataclasses.dataclass(frozen=True)
class ChainParams:
    """All consensus params of a chain."""

    sync: SyncParams = dataclasses.field(default_factory=SyncParams)
    trust: TrustParams = dataclasses.field(default_factory=TrustParams)
    weights: WeightParams = dataclasses.field(default_factory=WeightParams)
    scoring: ScoringParams = dataclasses.field(default_factory=ScoringParams)
    aggregation: AggregationParams = dataclasses.field(default_factory=AggregationParams)
    admission: AdmissionParams = dataclasses.field(default_factory=AdmissionParams)
    codec: CodecName = "int16"
    max_votes_per_batch: U16 = 64


@dataclasses.dataclass(frozen=True)
class Plan:
    """How a successor differs from its parent; what the parent's validators approve (CHAIN-13).

    It names no block to start from: that follows from the approvals. ``admitted`` and ``removed``
    change the registry of trainers; whoever is in neither is carried over.
    """

    chain: Digest
    version: U16
    validators: tuple[Key, ...]
    admitted: tuple[Key, ...]
    removed: tuple[Key, ...]
    params: ChainParams


@dataclasses.dataclass(frozen=True)
class Parent:
    """Where a successor begins, and why it may: its parent's last header, core state and approvals (CHAIN-15).

    ``state`` is the encoded core state that the header commits to. The header is proved by a quorum
    of ``seals``, or of ``readys``, or as the parent's own block 0 by neither. ``params`` are the parent's.
    """

    header: Header
    state: bytes
    params: ChainParams
    admitted: tuple[Key, ...]
    removed: tuple[Key, ...]
    seals: tuple[Seal, ...]
    readys: tuple[Ready, ...]
    approvals: tuple[Approve, ...]


@dataclasses.dataclass(frozen=True)
class Genesis:
    """Block 0: the model, the members and the params; its digest is the chain id (CHAIN-1).

    ``task`` and ``training`` tell an honest trainer what to train and with which settings; the
    core only hashes them. ``salt`` tells apart chains that agree in all else. ``parent`` is there
    when the chain goes on where another one ended (CHAIN-16).
    """

    version: U16
    name: str
    task: str
    training: str
    salt: Digest
    model: ModelSpec
    initial_model: Digest
    validators: tuple[Key, ...]
    trainers: tuple[Key, ...]
    params: ChainParams
    parent: Parent | None = None


def get_chain_id(genesis: Genesis) -> bytes:
    """Return the chain id: the genesis block's digest (CHAIN-1)."""
    return compute_digest(genesis)


def get_quorum(num_validators: int) -> int:
    """Return floor(2n/3) + 1: two quorums of n share more than n/3 validators (CHAIN-5)."""
    return 2 * num_validators // 3 + 1


def get_fault_tolerance(num_validators: int) -> int:
    """Return how many validators may lie or be silent while the chain goes on: n - quorum(n) (CHAIN-5)."""
    return num_validators - get_quorum(num_validators)


def validate_genesis(genesis: Genesis) -> None:
    """Check that a chain can live with this genesis (CHAIN-2..CHAIN-4); it does not check its parent's approvals.

    **Raises** UsageError, naming the field, what was expected and what was found.
    """
    if genesis.version != PROTOCOL_VERSION:
        raise UsageError(
            f"This genesis is of protocol version {genesis.version}, but this program speaks version "
            f"{PROTOCOL_VERSION}; use the release that made it."
        )
    _validate_model(genesis.model)
    _validate_members(genesis)
    _validate_admission(genesis)
    validate_chain_params(genesis.params)


def validate_chain_params(params: ChainParams) -> None:
    """Check every consensus param's range (CHAIN-4). **Raises** UsageError."""
    scoring, aggregation, admission = params.scoring, params.aggregation, params.admission
    validate_sync_params(params.sync)
    validate_trust_params(params.trust)
    validate_weight_params(params.weights)
    require_choice("scoring.metric", scoring.metric, ("loss", "accuracy"))
    require_int("scoring.score_step", scoring.score_step, 1, SCORE_ONE, "what scores are rounded to, in 1e-6")
    require_int("scoring.accept_tolerance", scoring.accept_tolerance, 0, SCORE_ONE, "largest harm, in 1e-6")
    require_int("scoring.loss_floor", scoring.loss_floor, 1, _MAX_U32, "least unit of losses, in 1e-6")
    require_int("scoring.probe_shift", scoring.probe_shift, 0, MAX_PROBE_SHIFT, "halvings of a scored update")
    require_choice("aggregation.rule", aggregation.rule, RULES)
    require_choice("codec", params.codec, CODECS)
    require_int("aggregation.byzantine_ppm", aggregation.byzantine_ppm, 0, PPM, "share of attackers to bear")
    require_int("aggregation.trim_ppm", aggregation.trim_ppm, 0, PPM // 2 - 1, "share cut off at each end")
    require_int("aggregation.selected", aggregation.selected, 0, _MAX_U32, "updates that multi_krum averages")
    require_int("aggregation.norm_cap", aggregation.norm_cap, 0, 2**64 - 1, "largest norm in the first round")
    require_int("aggregation.norm_factor_ppm", aggregation.norm_factor_ppm, 0, _MAX_U32, "bound over median norm")
    require_choice("admission.mode", admission.mode, ("allowlist", "invite", "open"))
    require_int("admission.max_trainers", admission.max_trainers, 1, _MAX_U32, "most trainers of the chain")
    require_int("admission.max_joins_per_block", admission.max_joins_per_block, 0, _MAX_U32, "most joins of a block")
    require_int("max_votes_per_batch", params.max_votes_per_batch, 1, MAX_VOTES_PER_BATCH, "most votes in one record")


def _validate_model(model: ModelSpec) -> None:
    if model.size < 1 or model.chunk_size < 1:
        raise UsageError("The model has no coordinates or its chunk size is 0; give it at least one trainable tensor.")
    if model.num_chunks > MAX_CHUNKS:
        raise UsageError(f"The model has {model.num_chunks} chunks, above {MAX_CHUNKS}; use larger chunks.")
    for tensor in model.tensors:
        if len(tensor.shape) > MAX_RANK:
            raise UsageError(f"{tensor.name!r} has {len(tensor.shape)} dimensions, above {MAX_RANK}; flatten some.")
        require_int(f"fraction_bits of {tensor.name!r}", tensor.fraction_bits, 0, MAX_FRACTION_BITS, "the grid's unit")
        if tensor.lo > tensor.hi:
            raise UsageError(f"The bounds of {tensor.name!r} are [{tensor.lo}, {tensor.hi}]; put the lower one first.")
    held = sum(prod(tensor.shape) for tensor in model.tensors if tensor.kind != "frozen")
    if held != model.size:
        raise UsageError(f"The model's tensors have {held} coordinates, not the {model.size} it counts; make it anew.")


def _validate_members(genesis: Genesis) -> None:
    if not genesis.validators:
        raise UsageError("A chain needs at least one validator; add one to the genesis.")
    for role, keys in (("validators", genesis.validators), ("trainers", genesis.trainers)):
        if list(keys) != sorted(set(keys)):
            raise UsageError(
                f"The genesis {role} must be distinct keys in ascending order; sort them and drop doubles."
            )
        for key in keys:
            _validate_key(role, key)
    if set(genesis.validators) & set(genesis.trainers):
        raise UsageError("A key is both validator and trainer; every role needs a key of its own.")


def _validate_admission(genesis: Genesis) -> None:
    admission, sync, members = genesis.params.admission, genesis.params.sync, len(genesis.trainers)
    if admission.mode == "invite" and admission.operator is None:
        raise UsageError("Admission by invitation needs the operator's key in the genesis; add it or choose 'open'.")
    if admission.operator is not None:
        _validate_key("operator", admission.operator)
    if members > admission.max_trainers:
        raise UsageError(
            f"The genesis names {members} trainers, but max_trainers is {admission.max_trainers}; raise it."
        )
    if admission.mode != "allowlist":
        return
    if not members:
        raise UsageError("Admission by allowlist with no trainers would admit nobody; name at least one trainer.")
    most = members * (1 if sync.scheme == "bsp" else sync.quota)
    if sync.min_updates > most:
        raise UsageError(
            f"No round would ever close: sync.min_updates is {sync.min_updates}, but {members} trainers publish at "
            f"most {most} updates from one base; lower it."
        )


def _validate_key(role: str, key: bytes) -> None:
    try:
        validate_public_key(key)
    except RemoteProtocolError as error:
        raise UsageError(
            f"A key among the genesis {role} is unusable: expected {error.expected}, found {error.found}; "
            "replace it by a key made with this program."
        ) from error
