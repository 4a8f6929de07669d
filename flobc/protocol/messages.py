"""What peers say to each other: the records of the log and of the updates topic (WIRE-9..WIRE-12).

Every signed message names its chain and its sender, and its last field is the sender's signature
over all the others, so a message is good on one chain only and only as its sender wrote it.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
from typing import Any, ClassVar, TypeVar

from flobc.errors import RemoteProtocolError
from flobc.protocol.bounds import CodecName
from flobc.protocol.encoding import (
    I32,
    I64,
    U16,
    U32,
    U64,
    Digest,
    Key,
    Signature,
    compute_digest,
    decode,
    encode,
    encode_without_last,
    tagged,
)
from flobc.protocol.identity import Identity, verify_signature

NO_SIGNATURE = bytes(64)


class Fault(enum.IntEnum):
    """An objective fault of a complete, signed payload: the same on every honest validator (ROUND-8)."""

    NONE = 0
    BAD_LENGTH = 1
    BAD_ENCODING = 2
    NON_FINITE = 3
    OUT_OF_RANGE = 4
    NORM_MISMATCH = 5
    NORM_BOUND = 6


class Signed:
    """A message whose last field, ``signature``, covers the rest; ``SENDER`` names the signer's field."""

    SENDER: ClassVar[str]
    signature: bytes

    @property
    def sender(self) -> bytes:
        """The public key that must have signed."""
        key: bytes = getattr(self, self.SENDER)
        return key


@dataclasses.dataclass(frozen=True)
class UpdateHeader(Signed):
    """A trainer's signed claim about one update: cumulative delta from ``base_height`` (ROUND-2).

    ``norm`` is floor(sqrt(sum q^2)) of the decoded update in grid units, ``size_bytes`` the sum of
    the chunks' sizes and ``payload_root`` the Merkle root over the chunks.
    """

    SENDER = "trainer"
    chain: Digest
    trainer: Key
    base_height: U64
    k: U16
    num_examples: U64
    codec: CodecName
    norm: U64
    payload_root: Digest
    num_chunks: U32
    size_bytes: U64
    signature: Signature = NO_SIGNATURE

    @functools.cached_property
    def update_id(self) -> bytes:
        """See :func:`compute_update_id`; kept here, and with equal headers that other records hold."""
        return _compute_update_id(self)


@dataclasses.dataclass(frozen=True)
class UpdateChunk:
    """Chunk ``index`` of a payload; unsigned, because ``proof`` ties it to the header's Merkle root (ROUND-4).

    So a receiver tells a genuine chunk from anybody's at once, and holds nothing else.
    """

    update: Digest
    index: U32
    proof: tuple[Digest, ...]
    payload: bytes


@dataclasses.dataclass(frozen=True)
class Vote:
    """One validator's word on one update: a score in 1e-6 units, or an objective fault (ROUND-5)."""

    update: Digest
    score: I32
    fault: Fault
    elapsed_ms: U32
    partition: U16 = 0
    offset: U64 = 0


@dataclasses.dataclass(frozen=True)
class BaseReport:
    """A validator's loss and accuracy of the model at ``height`` on its own shard, in 1e-6 units."""

    height: U64
    loss: I64
    accuracy: I64


@dataclasses.dataclass(frozen=True)
class VoteBatch(Signed):
    """Votes of one validator, the headers that the log does not hold yet, and its report on the base."""

    SENDER = "validator"
    chain: Digest
    validator: Key
    report: BaseReport | None
    headers: tuple[UpdateHeader, ...]
    votes: tuple[Vote, ...]
    signature: Signature = NO_SIGNATURE


@dataclasses.dataclass(frozen=True)
class Timeout(Signed):
    """This validator's timer for ``step`` of the round that makes block ``height`` has run out (SYNC)."""

    SENDER = "validator"
    chain: Digest
    validator: Key
    height: U64
    step: U32
    signature: Signature = NO_SIGNATURE


@dataclasses.dataclass(frozen=True)
class Ready(Signed):
    """This validator computed this header; binds nothing and may be repeated, the last counts (ROUND-13)."""

    SENDER = "validator"
    chain: Digest
    validator: Key
    height: U64
    header: Digest
    model: Digest
    signature: Signature = NO_SIGNATURE


@dataclasses.dataclass(frozen=True)
class Seal(Signed):
    """A validator's one signature on the header of ``height``; q equal seals are a certificate (ROUND-15)."""

    SENDER = "validator"
    chain: Digest
    validator: Key
    height: U64
    header: Digest
    signature: Signature = NO_SIGNATURE


@dataclasses.dataclass(frozen=True)
class Approve(Signed):
    """A validator gives a chain up for its successor: for ever, for one plan, naming its last seal (CHAIN-14).

    No record of the log: approvals are gathered by whoever builds the successor's genesis.
    """

    SENDER = "validator"
    chain: Digest
    validator: Key
    plan: Digest
    sealed: Seal | None
    signature: Signature = NO_SIGNATURE


@dataclasses.dataclass(frozen=True)
class Invitation(Signed):
    """The operator lets holders of the secret of ``invite_key`` join, up to ``max_joins``, until a height."""

    SENDER = "operator"
    chain: Digest
    operator: Key
    invite_key: Key
    max_joins: U32
    expires_height: U64
    signature: Signature = NO_SIGNATURE


@dataclasses.dataclass(frozen=True)
class Join(Signed):
    """A trainer asks to be admitted; under ``invite`` the invitation's key countersigns (CHAIN-9)."""

    SENDER = "trainer"
    chain: Digest
    trainer: Key
    invitation: Invitation | None
    countersignature: Signature = NO_SIGNATURE
    signature: Signature = NO_SIGNATURE


@dataclasses.dataclass(frozen=True)
class Evidence:
    """Two signed records that one honest key never signs both of, each as record bytes (CHAIN-12)."""

    first: bytes
    second: bytes


Record = VoteBatch | Timeout | Ready | Seal | Join | Evidence | UpdateHeader | UpdateChunk
LogRecord = VoteBatch | Timeout | Ready | Seal | Join | Evidence

_TYPES: dict[int, type[Any]] = {
    1: VoteBatch,
    2: Timeout,
    3: Ready,
    4: Seal,
    5: Join,
    6: Evidence,
    16: UpdateHeader,
    17: UpdateChunk,
}
_CODES = {cls: code for code, cls in _TYPES.items()}

M = TypeVar("M", bound=Signed)


def signing_bytes(message: Signed) -> bytes:
    """Return what the message's signature covers: its tag and every field but the signature (WIRE-9)."""
    return tagged(type(message).__name__, encode_without_last(message))


def sign(message: M, identity: Identity) -> M:
    """Return ``message`` with ``identity``'s signature on it."""
    signature = identity.sign(signing_bytes(message))
    return dataclasses.replace(message, signature=signature)  # type: ignore[type-var]


def verify_message(message: Signed) -> bool:
    """Return whether the sender signed exactly this message."""
    return verify_signature(message.sender, signing_bytes(message), message.signature)


@functools.lru_cache(maxsize=4096)
def verify_header(header: UpdateHeader) -> bool:
    """As ``verify_message``; remembered, because every role of a process asks about every header several times."""
    return verify_message(header)


def compute_update_id(header: UpdateHeader) -> bytes:
    """Return the digest by which votes, blocks and proofs name an update: its signed fields' (ROUND-2).

    The signature is left out, so that re-signing the same claim cannot make a second identity.
    """
    return header.update_id


@functools.lru_cache(maxsize=4096)
def _compute_update_id(header: UpdateHeader) -> bytes:
    return compute_digest(dataclasses.replace(header, signature=NO_SIGNATURE))


def countersigning_bytes(chain: bytes, trainer: bytes, invite_key: bytes) -> bytes:
    """Return what the invitation's key signs in a ``Join``: this trainer, on this chain, by this invitation."""
    return tagged("JoinByInvitation", chain + trainer + invite_key)


def get_record_type(kind: type[Record]) -> int:
    """Return the byte that records of messages of this class begin with (WIRE-10)."""
    return _CODES[kind]


def encode_record(message: Record) -> bytes:
    """Return the bytes that stand in a topic: one type byte, then the canonical encoding (WIRE-10)."""
    return bytes([get_record_type(type(message))]) + encode(message)


def decode_record(data: bytes) -> Record:
    """Return the message in a topic's record.

    **Raises** RemoteProtocolError when the type is unknown or the bytes are not canonical.
    """
    cls = _TYPES.get(data[0]) if data else None
    if cls is None:
        raise RemoteProtocolError("WIRE-10", "a known record type", data[:1].hex() or "no bytes")
    message: Record = decode(cls, data[1:])
    return message
