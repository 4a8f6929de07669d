"""Validators whose records are not what an honest one would send."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import ClassVar

from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import Fault, Ready, Record, Seal, Vote, VoteBatch, decode_record, encode_record, sign
from flobc.protocol.roles.duties import ScoreUpdate
from flobc.runtime.live_follower import Appender
from flobc.runtime.scorer import Scorer
from flobc.simulation.accomplice import Accomplice, PassingScorer, ValidatorAttack


@dataclass(frozen=True)
class Silent(ValidatorAttack):
    """Publishes nothing at all."""

    name: ClassVar[str] = "silent"

    def wrap_log(self, log: Appender, who: Accomplice) -> Appender:
        """Return a log that takes nothing."""
        del log, who
        return _NoLog()


@dataclass(frozen=True)
class Equivocating(ValidatorAttack):
    """Says two things at once: after each vote its opposite, after each ready and seal one for another block."""

    name: ClassVar[str] = "equivocating"

    def wrap_log(self, log: Appender, who: Accomplice) -> Appender:
        """Return a log that takes each record with its contradiction."""
        return _DoubleLog(log, who)


@dataclass(frozen=True)
class LazyCopy(ValidatorAttack):
    """Scores nothing: waits ``wait_ms`` for others' votes on an update and votes as the first of them did.

    **Source**: the verifier's dilemma, Luu, Teutsch, Kulkarni and Saxena, CCS 2015.
    """

    name: ClassVar[str] = "lazy_copy"
    wait_ms: float = 500.0

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return a scorer that does not look at updates."""
        del who
        return _NoScorer(scorer)

    def wrap_log(self, log: Appender, who: Accomplice) -> Appender:
        """Return a log that takes votes later, as others cast them."""
        return _CopyLog(log, who, round(self.wait_ms))


class _NoLog:
    """Where records go that are never sent."""

    def append(self, key: bytes, value: bytes) -> Future[None]:
        """Take a record and lose it."""
        del key, value
        return Future()


@dataclass(frozen=True)
class _DoubleLog:
    log: Appender
    who: Accomplice

    def append(self, key: bytes, value: bytes) -> Future[None]:
        answer = self.log.append(key, value)
        other = _contradict(decode_record(value))
        if other is not None:
            self.log.append(key, encode_record(sign(other, self.who.identity)))
        return answer


def _contradict(record: Record) -> VoteBatch | Ready | Seal | None:
    if isinstance(record, VoteBatch):
        return replace(record, votes=tuple(replace(vote, score=-vote.score, fault=Fault.NONE) for vote in record.votes))
    if isinstance(record, Ready | Seal):
        return replace(record, header=hashlib.sha256(record.header).digest())
    return None


class _NoScorer(PassingScorer):
    """Votes 0 on all that it is shown."""

    def score(self, duties: Sequence[ScoreUpdate], elapsed_ms: int) -> list[Vote | None]:
        return [Vote(duty.update, 0, Fault.NONE, elapsed_ms) for duty in duties]


@dataclass(frozen=True)
class _CopyLog:
    log: Appender
    who: Accomplice
    wait_ms: int

    def append(self, key: bytes, value: bytes) -> Future[None]:
        record = decode_record(value)
        if not isinstance(record, VoteBatch):
            return self.log.append(key, value)
        batch, answer = record, Future[None]()

        def send() -> None:
            copied = self._copy(batch)
            if copied.votes:
                self.log.append(key, encode_record(sign(copied, self.who.identity)))
            answer.set_result(None)  # what is still owed is asked for again after a while

        self.who.clock.call_later(self.wait_ms, send)
        return answer

    def _copy(self, batch: VoteBatch) -> VoteBatch:
        """The batch with the votes that somebody else cast; headers are in the log already where anybody voted."""
        state = self.who.get_state()
        votes = tuple(copy for vote in batch.votes if (copy := self._find_other(state, vote)) is not None)
        return replace(batch, votes=votes, headers=())

    def _find_other(self, state: ChainState, vote: Vote) -> Vote | None:
        pending = state.core.pending.get(vote.update)
        others = {} if pending is None else pending.votes
        for key in sorted(set(others).difference(self.who.validators)):
            return replace(vote, score=others[key].score, fault=others[key].fault)
        return None
