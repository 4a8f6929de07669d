"""A dishonest validator is an honest one whose scorer and log are wrapped."""

import pytest

from flobc.errors import NotHeld, UsageError
from flobc.protocol.messages import Fault, Vote
from flobc.simulation.attacks import VALIDATOR_ATTACKS, Accomplice, RandomScores, Silent, parse_validator_attack

WHO = Accomplice(index=2, seed=5, score_step=1_000, trainers=frozenset(), validators=frozenset())


class OneVote:
    """A scorer that finds a fault in the first update and lacks the second."""

    max_jobs, batch_size = 3, 7

    def score(self, duties: object, elapsed_ms: int) -> list[Vote | None]:
        return [Vote(bytes(32), -1_000_000, Fault.NON_FINITE, elapsed_ms), None]

    def evaluate(self, duty: object) -> object:
        raise NotHeld("no model")

    def aggregate(self, closed: object, parent: bytes) -> bytes:
        return parent


def test_silence_sends_nothing_and_is_never_answered() -> None:
    class Log:
        def append(self, key: bytes, value: bytes) -> None:
            raise AssertionError("nothing may be sent")

    answer = Silent().wrap_log(Log(), WHO).append(b"", b"record")
    assert not answer.done()
    scorer = OneVote()
    assert Silent().wrap_scorer(scorer, WHO) is scorer


def test_random_scores_are_votes_that_the_chain_counts() -> None:
    scorer = RandomScores().wrap_scorer(OneVote(), WHO)
    vote, missing = scorer.score([], 40)
    assert missing is None
    assert vote is not None
    assert (vote.fault, vote.elapsed_ms) == (Fault.NONE, 40)
    assert vote.score % 1_000 == 0
    assert abs(vote.score) <= 1_000_000
    assert scorer.score([], 40)[0] == vote
    assert (scorer.max_jobs, scorer.batch_size) == (3, 7)
    assert scorer.aggregate(None, b"model") == b"model"
    with pytest.raises(NotHeld):
        scorer.evaluate(None)


def test_an_attack_is_read_with_its_share() -> None:
    spec = parse_validator_attack("silent@0.25")
    assert (spec.attack, spec.fraction, spec.count_attackers(4), spec.count_attackers(2)) == (Silent(), 0.25, 1, 1)
    assert parse_validator_attack("random").count_attackers(7) == 7
    for name, kind in VALIDATOR_ATTACKS.items():
        assert parse_validator_attack(name).attack == kind()


@pytest.mark.parametrize("text", ["", "@0.5", "silent@", "silent@x", "silent@0", "silent@nan", "random:x=1"])
def test_invalid_attacks_are_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_validator_attack(text)
