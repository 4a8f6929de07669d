"""A chain of real keys without a network or a tensor: tests talk to it record by record.

Validators and trainers go by their index in ascending order of keys. Every method that names a sender
signs, appends and applies one record, and raises what the chain raises; ``log`` keeps the valid ones.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from flobc.errors import RemoteProtocolError
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.consensus.admission import build_evidence
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.identity import Identity
from flobc.protocol.messages import (
    BaseReport,
    Evidence,
    Fault,
    Invitation,
    Join,
    Ready,
    Record,
    Seal,
    Signed,
    Timeout,
    UpdateHeader,
    Vote,
    VoteBatch,
    compute_update_id,
    countersigning_bytes,
    encode_record,
    sign,
)
from flobc.protocol.params import (
    PROTOCOL_VERSION,
    SCORE_ONE,
    AdmissionParams,
    ChainParams,
    Genesis,
    ModelSpec,
    TensorSpec,
)
from flobc.protocol.sync.params import SyncParams

MODEL = ModelSpec((TensorSpec("w", (4,), "float32", "train", 24, 0, 0),), size=4, chunk_size=4)


def digest(*parts: object) -> bytes:
    return sha256(repr(parts).encode()).digest()


def identity(*label: object) -> Identity:
    return Identity.from_seed(digest("identity", *label))


def identities(role: str, count: int) -> tuple[Identity, ...]:
    return tuple(sorted((identity(role, i) for i in range(count)), key=lambda one: one.public_key))


OPERATOR = identity("operator")


def build_params(scheme: str = "bap", **changes: Any) -> ChainParams:
    """Params of a chain; a keyword goes to whichever group of params has a field of that name."""
    params = ChainParams(sync=SyncParams(scheme=scheme))
    for name, value in changes.items():
        groups = ("sync", "trust", "weights", "scoring", "aggregation", "admission")
        group = next((item for item in groups if hasattr(getattr(params, item), name)), None)
        if group is None:
            params = replace(params, **{name: value})
        else:
            params = replace(params, **{group: replace(getattr(params, group), **{name: value})})
    return params


def build_genesis(
    validators: int = 4, trainers: int = 3, params: ChainParams | None = None, salt: str = "a"
) -> Genesis:
    params = params or build_params()
    if params.admission.mode == "invite":
        admission: AdmissionParams = replace(params.admission, operator=OPERATOR.public_key)
        params = replace(params, admission=admission)
    return Genesis(
        version=PROTOCOL_VERSION,
        name="dialogue",
        task="none",
        training="",
        salt=digest("salt", salt),
        model=MODEL,
        initial_model=digest("model", 0),
        validators=tuple(one.public_key for one in identities("validator", validators)),
        trainers=tuple(one.public_key for one in identities("trainer", trainers)),
        params=params,
    )


def fingerprint(state: ChainState) -> tuple[bytes, bytes, str]:
    """All that a state holds, by value."""
    return encode(state.core), encode(state.head), repr(state.closed)


class Chain:
    """One log and the state it makes."""

    def __init__(
        self, validators: int = 4, trainers: int = 3, params: ChainParams | None = None, salt: str = "a"
    ) -> None:
        self.genesis = build_genesis(validators, trainers, params, salt)
        self.validators = identities("validator", validators)
        self.trainers = identities("trainer", trainers)
        self.state = build_initial_state(self.genesis)
        self.log: list[bytes] = []
        self.blocks: list[Block] = []

    # What peers say.

    def send(self, record: bytes | Record) -> bytes:
        """Apply a record as it is and return its bytes."""
        data = record if isinstance(record, bytes) else encode_record(record)
        height = self.state.height
        self.state = apply_record(self.state, data)
        self.log.append(data)
        if self.state.height > height:
            self.blocks.append(self.state.head)
        return data

    def say(self, message: Signed, who: Identity) -> bytes:
        return self.send(sign(message, who))  # type: ignore[type-var,arg-type]

    def update(self, trainer: int | Identity, base: int | None = None, k: int = 0, **changes: Any) -> UpdateHeader:
        """A trainer's signed header from ``base`` (default: the head); no record of the log."""
        who = self.trainers[trainer] if isinstance(trainer, int) else trainer
        base = self.state.height if base is None else base
        header = UpdateHeader(
            chain=self.state.chain,
            trainer=who.public_key,
            base_height=base,
            k=k,
            num_examples=100,
            codec=self.state.params.codec,
            norm=1000,
            payload_root=digest("payload", who.public_key, base, k),
            num_chunks=1,
            size_bytes=9,
        )
        return sign(replace(header, **changes), who)

    def build_vote(
        self, validator: int, update: UpdateHeader, score: int = 0, fault: Fault = Fault.NONE, headers: bool = True
    ) -> VoteBatch:
        """A batch of one vote, unsigned, with the header."""
        value = score if fault is Fault.NONE else -SCORE_ONE
        vote = Vote(compute_update_id(update), value, fault, elapsed_ms=1)
        key = self.validators[validator].public_key
        return VoteBatch(self.state.chain, key, None, (update,) if headers else (), (vote,))

    def vote(self, validator: int, update: UpdateHeader, score: int = 0, fault: Fault = Fault.NONE) -> bytes:
        return self.say(self.build_vote(validator, update, score, fault), self.validators[validator])

    def votes(self, update: UpdateHeader, *scores: int) -> None:
        """The first validators vote these scores, in their order."""
        for validator, score in enumerate(scores):
            self.vote(validator, update, score)

    def faults(self, update: UpdateHeader, *faults: Fault) -> None:
        for validator, fault in enumerate(faults):
            self.vote(validator, update, fault=fault)

    def report(self, validator: int, loss: int, accuracy: int = 0, height: int | None = None) -> bytes:
        report = BaseReport(self.state.core.height if height is None else height, loss, accuracy)
        who = self.validators[validator]
        return self.say(VoteBatch(self.state.chain, who.public_key, report, (), ()), who)

    def timeout(self, validator: int | Identity, height: int | None = None, step: int | None = None) -> bytes:
        who = self.validators[validator] if isinstance(validator, int) else validator
        core = self.state.core
        height = core.height + 1 if height is None else height
        return self.say(Timeout(self.state.chain, who.public_key, height, core.step if step is None else step), who)

    def expire(self) -> None:
        """A quorum's timers for the current step run out."""
        for validator in range(self.state.quorum):
            self.timeout(validator)

    def ready(self, validator: int, model: bytes) -> bytes:
        assert self.state.closed is not None, "no round is closed"
        header = compute_header_digest(self.state.closed.build_header(model))
        who = self.validators[validator]
        return self.say(Ready(self.state.chain, who.public_key, self.state.closed.height, header, model), who)

    def build_seal(self, validator: int, model: bytes) -> Seal:
        assert self.state.closed is not None, "no round is closed"
        header = compute_header_digest(self.state.closed.build_header(model))
        who = self.validators[validator]
        return sign(Seal(self.state.chain, who.public_key, self.state.closed.height, header), who)

    def seal(self, validator: int, model: bytes) -> bytes:
        return self.send(self.build_seal(validator, model))

    def invite(
        self, secret: Identity, max_joins: int = 1, expires_height: int = 100, operator: Identity = OPERATOR
    ) -> Invitation:
        invitation = Invitation(self.state.chain, operator.public_key, secret.public_key, max_joins, expires_height)
        return sign(invitation, operator)

    def join(self, who: Identity, invitation: Invitation | None = None, secret: Identity | None = None) -> bytes:
        """``who`` asks to be let in; ``secret`` countersigns."""
        join = Join(self.state.chain, who.public_key, invitation)
        if invitation is not None and secret is not None:
            message = countersigning_bytes(self.state.chain, who.public_key, invitation.invite_key)
            join = replace(join, countersignature=secret.sign(message))
        return self.say(join, who)

    def evidence(self, first: UpdateHeader | Seal, second: UpdateHeader | Seal) -> Evidence:
        return build_evidence(encode_record(first), encode_record(second))

    # Whole steps.

    def close_round(self, *trainers: int, score: int = 100_000) -> None:
        """These trainers' updates (default: everybody's) get a quorum of votes, then deadlines close the round."""
        for trainer in trainers or range(len(self.trainers)):
            if self.state.closed is None:
                update = self.update(trainer)
                self.votes(update, *[score] * self.state.quorum)
        while self.state.closed is None:
            self.expire()

    def commit(self, model: bytes | None = None) -> Block:
        """A quorum gets ready with the closed round's model and seals it."""
        assert self.state.closed is not None, "no round is closed"
        model = model or digest("model", self.state.closed.height)
        for validator in range(self.state.quorum):
            self.ready(validator, model)
        for validator in range(self.state.quorum):
            self.seal(validator, model)
        return self.blocks[-1]

    def play_round(self, *trainers: int, score: int = 100_000) -> Block:
        self.close_round(*trainers, score=score)
        return self.commit()

    @contextmanager
    def refuses(self, rule: str) -> Iterator[None]:
        """What is said inside breaks ``rule`` and changes nothing (CHAIN-11)."""
        before, seen = self.state, fingerprint(self.state)
        with pytest.raises(RemoteProtocolError) as caught:
            yield
        assert caught.value.rule == rule, str(caught.value)
        assert self.state is before
        assert fingerprint(self.state) == seen

    # What the chain answers.

    def trust(self, trainer: int | Identity) -> int:
        who = self.trainers[trainer] if isinstance(trainer, int) else trainer
        return self.state.core.trust.entries[who.public_key].trust

    def outcomes(self, block: Block | None = None) -> list[tuple[int, str]]:
        """(trainer's index, reason) per decision of a block (default: the last), in log order."""
        keys = [one.public_key for one in self.trainers]
        body = (block or self.blocks[-1]).body
        return [(keys.index(item.trainer), item.reason.name) for item in body.decisions]
