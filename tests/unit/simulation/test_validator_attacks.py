"""A dishonest validator is an honest one whose scorer and log are wrapped."""

from __future__ import annotations

from concurrent.futures import Future
from dataclasses import replace
from types import SimpleNamespace

import pytest

from flobc.errors import NotHeld, UsageError
from flobc.protocol.consensus.state import PendingUpdate, VoteEntry
from flobc.protocol.identity import Identity
from flobc.protocol.messages import (
    Fault,
    Ready,
    Seal,
    Timeout,
    UpdateHeader,
    Vote,
    VoteBatch,
    decode_record,
    encode_record,
    sign,
    verify_message,
)
from flobc.simulation.accomplice import Accomplice
from flobc.simulation.attacks import VALIDATOR_ATTACKS, parse_validator_attack
from flobc.simulation.false_records import Equivocating, LazyCopy, Silent
from flobc.simulation.false_scores import Deflation, Inflation, RandomScores
from tests.support.hand_scheduler import HandScheduler

FRIEND, RIVAL, CHAIN, MODEL = b"f" * 32, b"r" * 32, b"c" * 32, b"m" * 32
UPDATE, LATER = b"u" * 32, b"l" * 32
IDENTITY = Identity.from_seed(bytes(32))
ME = IDENTITY.public_key


def build_accomplice(clock=None, votes=None):
    """Build an attacker with one friend; others cast ``votes`` on one update."""
    pending = {UPDATE: PendingUpdate(build_header(FRIEND), 0, 0, votes or {})}
    state = SimpleNamespace(core=SimpleNamespace(pending=pending))
    return Accomplice(
        2, IDENTITY, 5, 1_000, frozenset([FRIEND]), frozenset([ME]), clock or HandScheduler(), lambda: state
    )


def build_header(trainer):
    return UpdateHeader(CHAIN, trainer, 0, 0, 1, "float32", 1, bytes(32), 1, 4)


def build_duties():
    return [SimpleNamespace(update=UPDATE, header=build_header(trainer)) for trainer in (FRIEND, RIVAL, RIVAL)]


class ThreeVotes:
    """A scorer that finds a fault in the first update, a small gain in the second, and lacks the third."""

    max_jobs, batch_size = 3, 7

    def score(self, duties: object, elapsed_ms: int) -> list[Vote | None]:
        return [
            Vote(UPDATE, -1_000_000, Fault.NON_FINITE, elapsed_ms),
            Vote(UPDATE, 7_000, Fault.NONE, elapsed_ms),
            None,
        ]

    def evaluate(self, duty: object) -> object:
        raise NotHeld("no model")

    def aggregate(self, closed: object, parent: bytes) -> bytes:
        return parent


class Kept:
    """A log that keeps what it is given."""

    def __init__(self) -> None:
        self.records = []

    def append(self, key: bytes, value: bytes) -> Future[None]:
        self.records.append(decode_record(value))
        answer: Future[None] = Future()
        answer.set_result(None)
        return answer


def build_batch(*votes):
    return encode_record(sign(VoteBatch(CHAIN, ME, None, (), votes), IDENTITY))


def test_silence_sends_nothing_and_is_never_answered() -> None:
    log, who = Kept(), build_accomplice()
    answer = Silent().wrap_log(log, who).append(b"", b"record")
    assert not answer.done()
    assert not log.records
    scorer = ThreeVotes()
    assert Silent().wrap_scorer(scorer, who) is scorer


def test_random_scores_are_votes_that_the_chain_counts() -> None:
    scorer = RandomScores().wrap_scorer(ThreeVotes(), build_accomplice())
    vote, _, missing = scorer.score(build_duties(), 40)
    assert missing is None
    assert vote is not None
    assert (vote.fault, vote.elapsed_ms) == (Fault.NONE, 40)
    assert vote.score % 1_000 == 0
    assert abs(vote.score) <= 1_000_000
    assert scorer.score(build_duties(), 40)[0] == vote


@pytest.mark.parametrize(
    ("attack", "friend", "rival"),
    [
        (Inflation(), (1_000_000, Fault.NONE), (7_000, Fault.NONE)),
        (Deflation(), (-1_000_000, Fault.NON_FINITE), (-1_000_000, Fault.NONE)),
    ],
)
def test_friends_are_favoured_and_rivals_wronged(attack, friend, rival) -> None:
    votes = attack.wrap_scorer(ThreeVotes(), build_accomplice()).score(build_duties(), 40)
    assert [vote and (vote.score, vote.fault) for vote in votes] == [friend, rival, None]


@pytest.mark.parametrize("attack", [RandomScores(), Inflation(), Deflation(), LazyCopy()])
def test_whoever_votes_falsely_computes_all_else_as_it_should(attack) -> None:
    scorer = attack.wrap_scorer(ThreeVotes(), build_accomplice())
    assert (scorer.max_jobs, scorer.batch_size) == (3, 7)
    assert scorer.aggregate(None, b"model") == b"model"
    with pytest.raises(NotHeld):
        scorer.evaluate(None)


def test_who_equivocates_signs_both_of_what_excludes_each_other() -> None:
    log = Kept()
    wrapped = Equivocating().wrap_log(log, build_accomplice())
    seal = sign(Seal(CHAIN, ME, 1, b"h" * 32), IDENTITY)
    ready = sign(Ready(CHAIN, ME, 1, b"h" * 32, MODEL), IDENTITY)
    timeout = sign(Timeout(CHAIN, ME, 1, 0), IDENTITY)
    for record in (seal, ready, timeout):
        wrapped.append(b"", encode_record(record))
    wrapped.append(b"", build_batch(Vote(UPDATE, 7_000, Fault.NONE, 40)))
    assert log.records[:5:2] == [seal, ready, timeout]
    assert log.records[1].header == log.records[3].header != seal.header
    assert [record.votes[0].score for record in log.records[5:]] == [7_000, -7_000]
    assert all(verify_message(record) for record in log.records)


def test_a_lazy_copy_waits_and_votes_as_others_did() -> None:
    own = VoteEntry(3_000, Fault.NONE, 1)
    others = {ME: own, b"b" * 32: VoteEntry(9_000, Fault.NONE, 60), b"d" * 32: VoteEntry(5_000, Fault.NONE, 50)}
    clock, log = HandScheduler(), Kept()
    who = build_accomplice(clock, dict(sorted(others.items())))
    drawn = LazyCopy().wrap_scorer(ThreeVotes(), who).score(build_duties()[:1], 40)
    first = min(set(others) - {ME})
    later = replace(drawn[0], update=LATER)
    answer = LazyCopy().wrap_log(log, who).append(b"", build_batch(drawn[0], later))
    clock.advance(499)
    assert not log.records
    clock.advance(1)
    (batch,) = log.records
    assert batch.votes == (Vote(UPDATE, others[first].score, Fault.NONE, 40),)
    assert verify_message(batch)
    assert answer.done()


def test_a_lazy_copy_with_nothing_to_copy_sends_nothing_and_is_asked_again() -> None:
    clock, log = HandScheduler(), Kept()
    answer = LazyCopy(wait_ms=20).wrap_log(log, build_accomplice(clock)).append(b"", build_batch(_vote()))
    clock.advance(20)
    assert answer.done()
    assert not log.records


def test_a_lazy_copy_seals_like_anybody() -> None:
    log = Kept()
    seal = sign(Seal(CHAIN, ME, 1, b"h" * 32), IDENTITY)
    LazyCopy().wrap_log(log, build_accomplice()).append(b"", encode_record(seal))
    assert log.records == [seal]


def _vote() -> Vote:
    return Vote(UPDATE, 0, Fault.NONE, 40)


def test_an_attack_is_read_with_its_share() -> None:
    spec = parse_validator_attack("silent@0.25")
    assert (spec.attack, spec.fraction, spec.count_attackers(4), spec.count_attackers(2)) == (Silent(), 0.25, 1, 1)
    assert parse_validator_attack("random").count_attackers(7) == 7
    assert parse_validator_attack("lazy_copy:wait_ms=20@0.5").attack == LazyCopy(20)
    for name, kind in VALIDATOR_ATTACKS.items():
        assert parse_validator_attack(name).attack == kind()


@pytest.mark.parametrize("text", ["", "@0.5", "silent@", "silent@x", "silent@0", "silent@nan", "random:x=1"])
def test_invalid_attacks_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_validator_attack(text)


@pytest.mark.parametrize("wait", ["-1", "nan", "inf"])
def test_invalid_waits_are_refused(wait: str) -> None:
    with pytest.raises(UsageError, match="at least 0 for wait_ms"):
        parse_validator_attack(f"lazy_copy:wait_ms={wait}")
