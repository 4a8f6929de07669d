"""A running validator: performs its role's duties and feeds the results back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from flobc.learning.task import Examples
from flobc.ports.scheduler import Scheduler
from flobc.ports.seals import SealStore
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.identity import Identity
from flobc.protocol.messages import (
    BaseReport,
    Fault,
    Record,
    Seal,
    Signed,
    UpdateHeader,
    Vote,
    VoteBatch,
    encode_record,
    sign,
)
from flobc.protocol.params import ScoringParams
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
from flobc.protocol.scoring import compute_score
from flobc.runtime.durations import Durations
from flobc.runtime.engine import LearningEngine, NotHeld
from flobc.runtime.follower import Follower

T = TypeVar("T")


@dataclass(frozen=True)
class ValidatorParts:
    """What a validator is made of: its key, its private shard, and the ports it works through."""

    identity: Identity
    shard: Examples
    engine: LearningEngine
    follower: Follower
    scheduler: Scheduler
    seals: SealStore
    durations: Durations


class ValidatorNode:
    """One validator; all its methods run on the scheduler's loop."""

    def __init__(self, parts: ValidatorParts) -> None:
        self._parts = parts
        self._key = parts.identity.public_key
        state, seals = parts.follower.state, parts.seals
        has_approved = seals.load_approve(state.chain, self._key) is not None
        self._role = rules.build_role(state.genesis, self._key, seals.load(self._key), has_approved=has_approved)
        self._busy: set[tuple[object, ...]] = set()
        self._asked: tuple[rules.ValidatorRole | None, ChainState | None] = (None, None)
        self._round_opened_ms = parts.scheduler.now_ms

    @property
    def _state(self) -> ChainState:
        return self._parts.follower.state

    def on_payload(self, header: UpdateHeader) -> None:
        """Take in an update whose whole payload is at hand."""
        self._role = rules.on_payload_complete(self._role, self._state, header)

    def on_refused(self, record: bytes) -> None:
        """Look at a record that the chain refused: it may convict its sender."""
        self._role = rules.on_record_refused(self._role, self._state, record)

    def on_commit(self) -> None:
        """Open the next round and forget what the new block has settled."""
        self._round_opened_ms = self._parts.scheduler.now_ms
        self._role = rules.forget_old(self._role, self._state)

    def step(self) -> bool:
        """Perform what is owed and not under way, up to the first record that moves the chain.

        Returns whether there was one: then duties have changed and must be derived again. Role and
        state are immutable, so the same two objects owe the same duties; this is asked after every event.
        """
        if self._role is self._asked[0] and self._state is self._asked[1]:
            return False
        self._asked = (self._role, self._state)
        return any(self._perform(duty) for duty in rules.get_duties(self._role, self._state))

    def _perform(self, duty: Duty) -> bool:
        engine, durations = self._parts.engine, self._parts.durations
        if isinstance(duty, Publish):
            return self._publish(duty.message)
        if isinstance(duty, ScoreUpdate):
            elapsed_ms = self._parts.scheduler.now_ms - self._round_opened_ms
            scoring = self._state.params.scoring
            self._start(
                ("score", duty.update),
                lambda: self._score(duty, scoring, elapsed_ms),
                durations.score_ms,
                self._on_vote,
            )
        elif isinstance(duty, EvaluateBase):
            self._start(("evaluate", duty.height), lambda: self._evaluate(duty), durations.evaluate_ms, self._on_base)
        elif isinstance(duty, Aggregate):
            height, parent = duty.closed.height, self._state.head.header.model
            self._start(
                ("aggregate", height),
                lambda: engine.aggregate(duty.closed, parent),
                durations.aggregate_ms,
                lambda model: self._on_model(height, model),
            )
        elif isinstance(duty, RunTimer):
            self._run_timer(duty)
        return False

    def _start(
        self, key: tuple[object, ...], work: Callable[[], T], duration_ms: int, done: Callable[[T], None]
    ) -> None:
        if key in self._busy:
            return
        self._busy.add(key)

        def finish(result: T) -> None:
            self._busy.discard(key)
            self._asked = (None, None)  # votes may have waited for this job
            done(result)

        virtual_ms = self._parts.durations.draw(duration_ms, self._key.hex(), *key)
        self._parts.scheduler.submit(str(key[0]), work, virtual_ms, finish)

    def wake(self) -> None:
        """Derive the duties again at the next step although nothing moved: something published was lost."""
        self._asked = (None, None)

    def _run_timer(self, duty: RunTimer) -> None:
        key = ("timer", duty.height, duty.step)
        if key in self._busy:
            return
        self._busy.add(key)

        def expire() -> None:
            self._busy.discard(key)
            self._role = rules.on_timer_expired(self._role, duty.height, duty.step)

        self._parts.scheduler.call_later(duty.duration_ms, expire)

    def _evaluate(self, duty: EvaluateBase) -> BaseEvaluation:
        loss, accuracy = self._parts.engine.evaluate(duty.model, self._parts.shard)
        return BaseEvaluation(duty.model, BaseReport(duty.height, loss, accuracy))

    def _on_base(self, base: BaseEvaluation) -> None:
        self._role = rules.on_evaluated(self._role, base)

    def _score(self, duty: ScoreUpdate, scoring: ScoringParams, elapsed_ms: int) -> Vote | None:
        """Check the payload and score it; runs beside the loop, so it reads only what cannot change.

        Returns None when payload or base are no longer held: the round that wanted the vote is over.
        """
        try:
            return self._build_vote(duty, scoring, elapsed_ms)
        except NotHeld:
            return None

    def _build_vote(self, duty: ScoreUpdate, scoring: ScoringParams, elapsed_ms: int) -> Vote:
        engine, header, base = self._parts.engine, duty.header, duty.base
        if duty.norm_bound and header.norm > duty.norm_bound:
            return rules.build_fault_vote(duty.update, Fault.NORM_BOUND, elapsed_ms)
        fault = engine.check(duty.update, header).fault
        if fault is not Fault.NONE:
            return rules.build_fault_vote(duty.update, fault, elapsed_ms)
        candidate = engine.evaluate_candidate(base.model, duty.update, header, self._parts.shard)
        score = compute_score(scoring, duty.unit_loss, (base.report.loss, base.report.accuracy), candidate)
        return rules.build_score_vote(duty.update, score, elapsed_ms)

    def _on_vote(self, vote: Vote | None) -> None:
        if vote is not None:
            self._role = rules.on_scored(self._role, vote)

    def _on_model(self, height: int, model: bytes) -> None:
        self._role = rules.on_aggregated(self._role, height, model)

    def _publish(self, message: Record) -> bool:
        follower = self._parts.follower
        if follower.is_waiting(message) or (isinstance(message, VoteBatch) and self._waits_for_scores(message)):
            return False
        if isinstance(message, Seal):
            message = self._seal(message)
        elif isinstance(message, Signed):
            message = sign(message, self._parts.identity)
        return follower.publish(encode_record(message))

    def _waits_for_scores(self, batch: VoteBatch) -> bool:
        """One signature for many votes: wait while own scoring is under way and the batch is not full (ROUND-5)."""
        full = len(batch.votes) >= self._state.params.max_votes_per_batch
        return not full and any(key[0] == "score" for key in self._busy)

    def _seal(self, seal: Seal) -> Seal:
        if self._role.seal is not None and self._role.seal.height == seal.height:
            return self._role.seal
        signed = sign(seal, self._parts.identity)
        self._parts.seals.save(signed)
        self._role = rules.on_sealed(self._role, signed)
        return signed
