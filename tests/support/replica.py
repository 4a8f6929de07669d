"""A validator of real duties on a log of its own choice, with numbers instead of tensors.

A score is whatever ``score`` says of (validator's index, update); a model is a hash of what it was made from.
Time passes only when a test calls ``expire``.
"""

from __future__ import annotations

from collections.abc import Callable

from flobc.errors import RemoteProtocolError
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, ClosedRound, build_initial_state
from flobc.protocol.identity import Identity
from flobc.protocol.messages import BaseReport, Seal, Signed, UpdateHeader, encode_record, sign
from flobc.protocol.params import Genesis
from flobc.protocol.roles import validator as rules
from flobc.protocol.roles.duties import (
    Aggregate,
    BaseEvaluation,
    Duty,
    EvaluateBase,
    Publish,
    RunTimer,
    ScoreUpdate,
)
from tests.support.dialogue import digest

Score = Callable[[int, UpdateHeader], int]


def compute_model(closed: ClosedRound) -> bytes:
    """The model that every honest validator computes from a closed round."""
    return digest("model of", closed.template.decisions_root, closed.template.parent)


class Replica:
    """One honest validator; what it publishes goes to the end of the log it reads."""

    def __init__(self, index: int, identity: Identity, genesis: Genesis, log: list[bytes], score: Score) -> None:
        self.index = index
        self.identity = identity
        self.genesis = genesis
        self.score = score
        self.seals: list[Seal] = []
        self.role = rules.ValidatorRole(identity.public_key)
        self.read_from(log)

    def read_from(self, log: list[bytes]) -> None:
        """Start anew at the beginning of a log, which may be another one; only the seal survives a restart."""
        self.log = log
        self.offset = 0
        self.timers: list[RunTimer] = []
        self.state = build_initial_state(self.genesis)
        self.role = rules.ValidatorRole(self.identity.public_key, seal=self.role.seal)

    def deliver(self, header: UpdateHeader) -> None:
        self.role = rules.on_payloads_complete(self.role, self.state, [header])

    def catch_up(self, until: int | None = None) -> None:
        for record in self.log[self.offset : until]:
            height = self.state.height
            try:
                self.state = apply_record(self.state, record)
            except RemoteProtocolError:
                self.role = rules.on_record_refused(self.role, self.state, record)
            if self.state.height > height:
                self.role = rules.forget_old(self.role, self.state)
            self.offset += 1

    def step(self) -> bool:
        """Read on and do everything that is owed now; return whether something was published or computed."""
        self.catch_up()
        self.role = rules.forget_logged(self.role, self.state)
        before = (self.role, len(self.log))
        self.timers = []
        for duty in rules.get_duties(self.role, self.state):
            self._perform(duty)
            if len(self.log) > before[1]:
                break  # what is owed has changed
        self.catch_up()
        return (self.role, len(self.log)) != before

    def expire(self) -> bool:
        """Let the running timer, if any, run out."""
        for timer in self.timers:
            self.role = rules.on_timer_expired(self.role, timer.height, timer.step)
        return bool(self.timers)

    def _perform(self, duty: Duty) -> None:
        match duty:
            case EvaluateBase(height, model):
                self.role = rules.on_evaluated(self.role, BaseEvaluation(model, BaseReport(height, 10**6, 0)))
            case ScoreUpdate(update, header):
                vote = rules.build_score_vote(update, self.score(self.index, header), 1)
                self.role = rules.on_scored(self.role, [vote])
            case Aggregate(closed):
                self.role = rules.on_aggregated(self.role, closed.height, compute_model(closed))
            case RunTimer():
                self.timers.append(duty)
            case Publish(message):
                self._publish(message)

    def _publish(self, message: Signed) -> None:
        if isinstance(message, Signed):
            message = sign(message, self.identity)  # type: ignore[type-var]
        if isinstance(message, Seal):
            self.role = rules.on_sealed(self.role, message)
            self.seals.append(message)
        self.log.append(encode_record(message))  # type: ignore[arg-type]


def run(replicas: list[Replica], until: Callable[[ChainState], bool], expiries: int = 50) -> bool:
    """Let everybody act, and time pass when nobody has anything to do; False when nothing moves any more."""
    while expiries:
        moved = [replica.step() for replica in replicas]
        if until(replicas[0].state):
            return True
        if not any(moved):
            expired = [replica.expire() for replica in replicas]
            expiries = expiries - 1 if any(expired) else 0
    return False
