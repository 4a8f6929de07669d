"""A running validator: performs its role's duties and feeds the results back."""

from __future__ import annotations

import functools
import itertools
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeVar

from flobc.errors import FlobcError, NotHeld, TransientError
from flobc.ports.scheduler import Scheduler
from flobc.ports.seals import SealStore
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.identity import Identity
from flobc.protocol.messages import (
    Record,
    Seal,
    Signed,
    UpdateHeader,
    Vote,
    VoteBatch,
    encode_record,
    sign,
)
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
from flobc.runtime.durations import Durations
from flobc.runtime.follower import Follower
from flobc.runtime.scorer import Scorer
from flobc.runtime.stages import mark

T = TypeVar("T")

RETRY_MS = 1_000
"""How long after a job lacked a model or payload it is tried again: somebody may have it by then."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ValidatorParts:
    """What a validator is made of: its key, who computes for it, and the ports it works through."""

    identity: Identity
    scorer: Scorer
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
        self._running: Counter[str] = Counter()
        self._asked: tuple[rules.ValidatorRole | None, ChainState | None] = (None, None)
        self._round_opened_ms = parts.scheduler.now_ms

    @property
    def _state(self) -> ChainState:
        return self._parts.follower.state

    def on_payloads(self, headers: Sequence[UpdateHeader]) -> None:
        """Take in updates whose whole payloads are at hand."""
        self._role = rules.on_payloads_complete(self._role, self._state, headers)

    def on_refused(self, record: bytes) -> None:
        """Look at a record that the chain refused: it may convict its sender."""
        self._role = rules.on_record_refused(self._role, self._state, record)

    def on_commit(self) -> None:
        """Open the next round and forget what the new block has settled."""
        mark("certified", self._state.height)
        self._round_opened_ms = self._parts.scheduler.now_ms
        self._role = rules.forget_old(self._role, self._state)

    def step(self) -> bool:
        """Perform what is owed and not under way, up to the first record that moves the chain.

        Returns whether there was one: then duties have changed and must be derived again. Role and
        state are immutable, so the same two objects owe the same duties; this is asked after every event.
        """
        self._role = rules.forget_logged(self._role, self._state)
        if self._role is self._asked[0] and self._state is self._asked[1]:
            return False
        role, state = self._asked = (self._role, self._state)
        if any(self._perform(duty) for duty in rules.get_first_duties(role, state)):
            return True
        self._score(rules.find_scoring_duties(role, state))
        may_vote = not self._waits_with_votes(len(role.unlogged))
        return any(self._perform(duty) for duty in rules.get_last_duties(role, state, may_vote=may_vote))

    def _perform(self, duty: Duty) -> bool:
        scorer, durations = self._parts.scorer, self._parts.durations
        if isinstance(duty, Publish):
            return self._publish(duty.message)
        if isinstance(duty, EvaluateBase):
            self._start(
                [("evaluate", duty.height)], lambda: scorer.evaluate(duty), durations.evaluate_ms, self._on_base
            )
        elif isinstance(duty, Aggregate):
            height, parent = duty.closed.height, self._state.head.header.model
            self._start(
                [("aggregate", height)],
                lambda: scorer.aggregate(duty.closed, parent),
                durations.aggregate_ms,
                lambda model: self._on_model(height, model),
            )
        elif isinstance(duty, RunTimer):
            self._run_timer(duty)
        return False

    def _score(self, duties: Iterator[ScoreUpdate]) -> None:
        """Have as many updates scored as the scorer takes now; what waits meanwhile makes the next batch."""
        scorer = self._parts.scorer
        waiting = (duty for duty in duties if ("score", duty.update) not in self._busy)
        while self._running["score"] < scorer.max_jobs:
            batch = list(itertools.islice(waiting, scorer.batch_size))
            if not batch:
                break
            elapsed_ms = self._parts.scheduler.now_ms - self._round_opened_ms
            self._start(
                [("score", duty.update) for duty in batch],
                functools.partial(scorer.score, batch, elapsed_ms),
                self._parts.durations.score_ms * len(batch),
                functools.partial(self._on_votes, batch),
            )

    def _start(
        self, keys: Sequence[tuple[object, ...]], work: Callable[[], T], duration_ms: int, done: Callable[[T], None]
    ) -> None:
        """Start a job unless the same one is under way; ask for it again later when what it needs is not held now."""
        if not self._busy.isdisjoint(keys):
            return
        kind = str(keys[0][0])
        self._busy.update(keys)
        self._running[kind] += 1

        def attempt() -> T | FlobcError:
            try:
                return work()
            except (NotHeld, TransientError) as error:
                return error

        def finish(result: T | FlobcError) -> None:
            self._running[kind] -= 1
            self._release(keys)
            if isinstance(result, FlobcError):
                logger.warning("%s", result)
                self._put_off(*keys)
            else:
                done(result)

        virtual_ms = self._parts.durations.draw(duration_ms, self._key.hex(), *keys[0])
        self._parts.scheduler.submit(kind, attempt, virtual_ms, finish)

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

    def _on_base(self, base: BaseEvaluation) -> None:
        self._role = rules.on_evaluated(self._role, base)

    def _on_votes(self, batch: list[ScoreUpdate], votes: list[Vote | None]) -> None:
        for duty, vote in zip(batch, votes, strict=True):
            if vote is None:
                self._put_off(("score", duty.update))
        self._role = rules.on_scored(self._role, [vote for vote in votes if vote is not None])

    def _put_off(self, *keys: tuple[object, ...]) -> None:
        """Take these jobs for under way a while longer: what they need is not held now."""
        self._busy.update(keys)
        self._parts.scheduler.call_later(RETRY_MS, lambda: self._release(keys))

    def _release(self, keys: Sequence[tuple[object, ...]]) -> None:
        self._busy.difference_update(keys)
        self.wake()  # votes may have waited for this job

    def _on_model(self, height: int, model: bytes) -> None:
        mark("aggregated", height)
        self._role = rules.on_aggregated(self._role, height, model)

    def _publish(self, message: Record) -> bool:
        follower = self._parts.follower
        if isinstance(message, VoteBatch):
            if self._waits_with_votes(len(message.votes)):
                return False
            mark("voted", self._state.core.height + 1)
        elif follower.is_waiting(type(message)):
            return False
        if isinstance(message, Seal):
            try:
                message = self._seal(message)
            except OSError as error:
                logger.error(
                    "The seal of block %d cannot be kept (%s), so it is not sent; make room.", message.height, error
                )
                self._put_off(("seal", message.height))
                return False
        elif isinstance(message, Signed):
            message = sign(message, self._parts.identity)
        return follower.publish(encode_record(message))

    def _waits_with_votes(self, votes: int) -> bool:
        """One batch at a time; while own scoring is under way and ``votes`` do not fill one, it waits (ROUND-5)."""
        is_full = votes >= self._state.params.max_votes_per_batch
        return self._parts.follower.is_waiting(VoteBatch) or (not is_full and self._running["score"] > 0)

    def _seal(self, seal: Seal) -> Seal:
        if self._role.seal is not None and self._role.seal.height == seal.height:
            return self._role.seal
        signed = sign(seal, self._parts.identity)
        self._parts.seals.save(signed)
        self._role = rules.on_sealed(self._role, signed)
        return signed
