"""Validators that vote with other scores than they found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar, TypeAlias

from flobc.protocol.messages import Fault, Vote
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.roles.duties import ScoreUpdate
from flobc.runtime.scorer import Scorer
from flobc.runtime.seeds import derive_bits
from flobc.simulation.accomplice import Accomplice, PassingScorer, ValidatorAttack


@dataclass(frozen=True)
class RandomScores(ValidatorAttack):
    """Votes with scores drawn at random, and finds no faults."""

    name: ClassVar[str] = "random"

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return a scorer that draws its scores."""
        steps = SCORE_ONE // who.score_step

        def draw(duty: ScoreUpdate, vote: Vote) -> Vote:
            del duty
            bits = derive_bits(who.seed, "random score", who.index, vote.update.hex())
            return replace(vote, score=(bits % (2 * steps + 1) - steps) * who.score_step, fault=Fault.NONE)

        return _FalseScorer(scorer, draw)


@dataclass(frozen=True)
class Inflation(ValidatorAttack):
    """Gives the attacking trainers the highest score, whatever they sent."""

    name: ClassVar[str] = "inflation"

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return a scorer that favours its friends."""

        def favour(duty: ScoreUpdate, vote: Vote) -> Vote:
            return _set_extreme(vote, who, 1) if duty.header.trainer in who.trainers else vote

        return _FalseScorer(scorer, favour)


@dataclass(frozen=True)
class Deflation(ValidatorAttack):
    """Gives every trainer that does not attack the lowest score."""

    name: ClassVar[str] = "deflation"

    def wrap_scorer(self, scorer: Scorer, who: Accomplice) -> Scorer:
        """Return a scorer that wrongs its friends' rivals."""

        def wrong(duty: ScoreUpdate, vote: Vote) -> Vote:
            return vote if duty.header.trainer in who.trainers else _set_extreme(vote, who, -1)

        return _FalseScorer(scorer, wrong)


def _set_extreme(vote: Vote, who: Accomplice, sign: int) -> Vote:
    return replace(vote, score=sign * (SCORE_ONE // who.score_step) * who.score_step, fault=Fault.NONE)


Falsify: TypeAlias = Callable[[ScoreUpdate, Vote], Vote]


@dataclass
class _FalseScorer(PassingScorer):
    """The honest scorer with its votes falsified."""

    falsify: Falsify

    def score(self, duties: Sequence[ScoreUpdate], elapsed_ms: int) -> list[Vote | None]:
        votes = super().score(duties, elapsed_ms)
        return [vote and self.falsify(duty, vote) for duty, vote in zip(duties, votes, strict=True)]
