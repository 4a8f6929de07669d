"""What a dishonest validator does: a port that wraps how it scores and what it publishes.

An attack is written ``NAME:key=value,key=value@SHARE``, for instance ``silent@0.25``; a further one is a frozen
dataclass with these two methods, whose fields are its options, and a row in ``VALIDATOR_ATTACKS``.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass, fields, replace
from typing import Any, ClassVar, Protocol

from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.protocol.consensus.state import ClosedRound
from flobc.protocol.messages import Fault, Vote
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.roles.duties import BaseEvaluation, EvaluateBase, ScoreUpdate
from flobc.runtime.live_follower import Appender
from flobc.runtime.scorer import Scorer
from flobc.runtime.seeds import derive_bits


@dataclass(frozen=True)
class Accomplice:
    """What an attacking validator knows beside its own duties: its number, the run's seed, and who attacks with it.

    ``trainers`` and ``validators`` are the attackers' public keys.
    """

    index: int
    seed: int
    score_step: int
    trainers: frozenset[bytes]
    validators: frozenset[bytes]


class ValidatorAttack(Protocol):
    """A way to be dishonest."""

    name: ClassVar[str]

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return what computes in place of the honest ``scorer``."""
        ...

    def wrap_log(self, log: Appender, who: Accomplice) -> Appender:
        """Return where the validator's records go in place of the ``log``."""
        ...


@dataclass(frozen=True)
class Silent:
    """Publishes nothing at all."""

    name: ClassVar[str] = "silent"

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return ``scorer``: nobody hears of its results."""
        del who
        return scorer

    def wrap_log(self, log: Appender, who: Accomplice) -> Appender:
        """Return a log that takes nothing."""
        del log, who
        return _NoLog()


@dataclass(frozen=True)
class RandomScores:
    """Votes with scores drawn at random, and finds no faults."""

    name: ClassVar[str] = "random"

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return a scorer that draws its scores."""
        return _RandomScorer(scorer, who)

    def wrap_log(self, log: Appender, who: Accomplice) -> Appender:
        """Return ``log``."""
        del who
        return log


VALIDATOR_ATTACKS: dict[str, type[Any]] = {kind.name: kind for kind in (Silent, RandomScores)}


class _NoLog:
    """Where records go that are never sent."""

    def append(self, key: bytes, value: bytes) -> Future[None]:
        """Take a record and lose it."""
        del key, value
        return Future()


class _RandomScorer:
    def __init__(self, scorer: Scorer, who: Accomplice) -> None:
        self._scorer = scorer
        self._who = who
        self.max_jobs = scorer.max_jobs
        self.batch_size = scorer.batch_size

    def evaluate(self, duty: EvaluateBase) -> BaseEvaluation:
        return self._scorer.evaluate(duty)

    def score(self, duties: Sequence[ScoreUpdate], elapsed_ms: int) -> list[Vote | None]:
        return [
            vote if vote is None else replace(vote, score=self._draw(vote.update), fault=Fault.NONE)
            for vote in self._scorer.score(duties, elapsed_ms)
        ]

    def aggregate(self, closed: ClosedRound, parent: bytes) -> bytes:
        return self._scorer.aggregate(closed, parent)

    def _draw(self, update: bytes) -> int:
        steps = SCORE_ONE // self._who.score_step
        bits = derive_bits(self._who.seed, "random score", self._who.index, update.hex())
        return (bits % (2 * steps + 1) - steps) * self._who.score_step


@dataclass(frozen=True)
class ValidatorAttackSpec:
    """An attack and the share of validators that carry it out."""

    attack: ValidatorAttack
    fraction: float = 1.0

    def count_attackers(self, validators: int) -> int:
        """Return how many of ``validators`` attack: the nearest whole number, at least one."""
        return min(validators, max(1, round(self.fraction * validators)))


def parse_validator_attack(text: str) -> ValidatorAttackSpec:
    """Read ``NAME:key=value@SHARE``. **Raises** UsageError naming the part that cannot be read."""
    body, at, fraction = text.partition("@")
    name, _, options = body.partition(":")
    if name not in VALIDATOR_ATTACKS:
        raise UsageError(
            f"There is no validators' attack {name!r}{suggest(name, VALIDATOR_ATTACKS)} "
            f"Use one of {', '.join(VALIDATOR_ATTACKS)}."
        )
    share = _parse_number(fraction, f"the share of {text!r}") if at else 1.0
    if not 0.0 < share <= 1.0:
        raise UsageError(f"The share of {text!r} must be above 0 and at most 1, not {fraction}.")
    kind = VALIDATOR_ATTACKS[name]
    known = [item.name for item in fields(kind)]
    values: dict[str, float] = {}
    for part in filter(None, options.split(",")):
        option, _, value = part.partition("=")
        if option not in known:
            choices = f"Use {', '.join(known)}." if known else "It has none."
            raise UsageError(f"The attack {name} has no option {option!r}{suggest(option, known)} {choices}")
        values[option] = _parse_number(value, f"{option} of the attack {name}")
    return ValidatorAttackSpec(kind(**values), share)


def _parse_number(text: str, what: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise UsageError(f"Expected a number for {what}, but found {text!r}.") from None
