"""What a dishonest validator is: an honest one whose scorer and log are wrapped."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from flobc.ports.scheduler import Scheduler
from flobc.protocol.consensus.state import ChainState, ClosedRound
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Vote
from flobc.protocol.roles.duties import BaseEvaluation, EvaluateBase, ScoreUpdate
from flobc.runtime.live_follower import Appender
from flobc.runtime.scorer import Scorer


@dataclass(frozen=True)
class Accomplice:
    """What an attacking validator has beside its own duties: number and key, the run's seed, and who attacks with it.

    ``trainers`` and ``validators`` are the attackers' public keys; ``get_state`` tells what stands in the log by now.
    """

    index: int
    identity: Identity
    seed: int
    score_step: int
    trainers: frozenset[bytes]
    validators: frozenset[bytes]
    clock: Scheduler
    get_state: Callable[[], ChainState]


@dataclass
class PassingScorer:
    """Does everything as the scorer that it wraps; others override ``score``."""

    scorer: Scorer

    def __post_init__(self) -> None:
        self.max_jobs = self.scorer.max_jobs
        self.batch_size = self.scorer.batch_size

    def evaluate(self, duty: EvaluateBase) -> BaseEvaluation:
        """Evaluate honestly."""
        return self.scorer.evaluate(duty)

    def score(self, duties: Sequence[ScoreUpdate], elapsed_ms: int) -> list[Vote | None]:
        """Score honestly."""
        return self.scorer.score(duties, elapsed_ms)

    def aggregate(self, closed: ClosedRound, parent: bytes) -> bytes:
        """Aggregate honestly."""
        return self.scorer.aggregate(closed, parent)


@dataclass(frozen=True)
class ValidatorAttack:
    """A way to be dishonest that changes nothing; others override one of the two methods, or both."""

    name: ClassVar[str] = ""

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return what computes in place of the honest ``scorer``."""
        del who
        return scorer

    def wrap_log(self, log: Appender, who: Accomplice) -> Appender:
        """Return where the validator's records go in place of the ``log``."""
        del who
        return log
