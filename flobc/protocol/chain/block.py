"""Blocks: header, certificate and body, and the checks that need only the genesis keys (CHAIN-6..CHAIN-8)."""

from __future__ import annotations

import dataclasses
import enum

from flobc.protocol.encoding import I32, I64, U8, U16, U32, U64, Digest, Key, compute_digest, encode
from flobc.protocol.merkle import merkle_root
from flobc.protocol.messages import (
    Evidence,
    Fault,
    Seal,
    UpdateHeader,
    compute_update_id,
    verify_header,
    verify_message,
)

NO_DIGEST = bytes(32)
BLOCK_VERSION = 1
"""The form of stored and exported blocks (CHAIN-8)."""


class Reason(enum.IntEnum):
    """Why a decided update was or was not used (ROUND-10, ROUND-11)."""

    ACCEPTED = 0
    LOW_SCORE = 1
    FAULT = 2
    SUPERSEDED = 3
    DUPLICATE = 4


class Closing(enum.IntEnum):
    """What closed the round (SYNC)."""

    GENESIS = 0
    COMPLETE = 1
    MAJORITY = 2
    DEADLINE = 3


@dataclasses.dataclass(frozen=True)
class CountedVote:
    """One vote as it stood at the closing record."""

    validator: Key
    score: I32
    fault: Fault
    elapsed_ms: U32


@dataclasses.dataclass(frozen=True)
class CountedVotes:
    """All counted votes of one update in ascending order of validator; hashed into the leaf."""

    votes: tuple[CountedVote, ...]


@dataclasses.dataclass(frozen=True)
class Decision:
    """One leaf of a block: what became of one update and with which integers it entered the model.

    ``score`` is the lower median of all counted votes in 1e-6 units, ``weight`` counts 2^-20 and
    ``discount`` 2^-16 (65,536 = none).
    """

    update: Digest
    trainer: Key
    base_height: U64
    k: U16
    reason: Reason
    fault: Fault
    score: I32
    staleness: U32
    discount: U32
    weight: U32
    votes: Digest


@dataclasses.dataclass(frozen=True)
class Header:
    """What the validators seal. ``loss`` and ``accuracy`` are the medians for the parent's model, 1e-6 units."""

    chain: Digest
    height: U64
    parent: Digest
    closing_position: U64
    log_digest: Digest
    num_decisions: U32
    decisions_root: Digest
    evidence_root: Digest
    state: Digest
    model: Digest
    closing: Closing
    step: U32
    loss: I64 | None
    accuracy: I64 | None


@dataclasses.dataclass(frozen=True)
class Body:
    """What a header's roots stand for; may be pruned after the audit window."""

    decisions: tuple[Decision, ...]
    headers: tuple[UpdateHeader, ...]
    votes: tuple[CountedVotes, ...]
    evidence: tuple[Evidence, ...]


@dataclasses.dataclass(frozen=True)
class Block:
    """A certified block: any quorum of equal seals makes its header final (CHAIN-6)."""

    header: Header
    certificate: tuple[Seal, ...]
    body: Body
    version: U8 = BLOCK_VERSION

    @property
    def height(self) -> int:
        """The block's height, which is its round's number."""
        return self.header.height

    @property
    def accepted(self) -> tuple[Decision, ...]:
        """The updates that were accepted, in log order."""
        return tuple(item for item in self.body.decisions if item.reason is Reason.ACCEPTED)

    @property
    def rejected(self) -> tuple[Decision, ...]:
        """The updates that were judged and refused: low score or fault."""
        return tuple(item for item in self.body.decisions if item.reason in (Reason.LOW_SCORE, Reason.FAULT))


EMPTY_BODY = Body((), (), (), ())


def compute_header_digest(header: Header) -> bytes:
    """Return the digest that seals sign and the next header names as its parent (CHAIN-6, CHAIN-8)."""
    return compute_digest(header)


def compute_decisions_root(decisions: tuple[Decision, ...]) -> bytes:
    """Return the RFC 6962 root over the encoded decisions (CHAIN-7)."""
    return merkle_root([encode(decision) for decision in decisions])


def compute_evidence_root(evidence: tuple[Evidence, ...]) -> bytes:
    """Return the RFC 6962 root over the encoded evidence (CHAIN-7)."""
    return merkle_root([encode(item) for item in evidence])


def verify_certificate(
    header: Header, certificate: tuple[Seal, ...], validators: tuple[bytes, ...], quorum: int
) -> bool:
    """Return whether ``quorum`` distinct validators of the genesis sealed exactly this header (CHAIN-6)."""
    digest = compute_header_digest(header)
    signers = {
        seal.validator
        for seal in certificate
        if seal.validator in validators
        and (seal.chain, seal.height, seal.header) == (header.chain, header.height, digest)
        and verify_message(seal)
    }
    return len(signers) >= quorum


def find_body_defect(header: Header, body: Body) -> tuple[str, str] | None:
    """Return the (rule, sentence) by which ``body`` differs from what ``header`` commits to, or None (CHAIN-7)."""
    if len(body.decisions) != header.num_decisions:
        return (
            "CHAIN-7",
            f"the header counts {header.num_decisions} decisions, the body holds {len(body.decisions)}",
        )
    if compute_decisions_root(body.decisions) != header.decisions_root:
        return "CHAIN-7", "the decisions do not hash to the header's decisions root"
    if compute_evidence_root(body.evidence) != header.evidence_root:
        return "CHAIN-7", "the evidence does not hash to the header's evidence root"
    if len(body.votes) != len(body.decisions) or len(body.headers) != len(body.decisions):
        return "CHAIN-7", "decisions, update headers and votes differ in number"
    for decision, update, votes in zip(body.decisions, body.headers, body.votes, strict=True):
        if compute_update_id(update) != decision.update or not verify_header(update):
            return "CHAIN-7", f"the header of update {decision.update.hex()[:12]} is not the one its trainer signed"
        if compute_digest(votes) != decision.votes:
            return (
                "CHAIN-7",
                f"the votes on update {decision.update.hex()[:12]} do not hash to the decision's digest",
            )
    return None
