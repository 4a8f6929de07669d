"""What a run tells while it goes on and when it ends."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from flobc.protocol.chain.block import Block, Decision, Reason, compute_header_digest
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.trust.policies import compute_trust_shares
from flobc.protocol.trust.weights import WEIGHT_ONE


@dataclass(frozen=True)
class TrainerReport:
    """One trainer after a round; ``trust_share`` is its share of all trust, ``score`` in -1..1 or None."""

    index: int
    key: bytes
    trust_share: float
    score: float | None
    outcome: str
    weight_share: float
    attack: str | None


@dataclass(frozen=True)
class RoundReport:
    """One committed block. ``loss`` and ``accuracy`` are the validators' medians for the model it started from.

    ``seconds`` is real time since the last commit, ``virtual_ms`` the scheduler's.
    """

    height: int
    rounds: int
    closing: str
    accepted: int
    rejected: int
    loss: float | None
    accuracy: float | None
    payload_bytes: int
    seconds: float
    virtual_ms: int
    trainers: tuple[TrainerReport, ...]


@dataclass(frozen=True)
class TestReport:
    """The model of ``height`` on the test set, which no trainer and no validator holds."""

    height: int
    loss: float
    accuracy: float


class Observer(Protocol):
    """Who wants to see a run go on."""

    def on_start(self, state: ChainState, rounds: int, warning: str | None) -> None:
        """The federation is built; ``warning`` is a sentence about its fault tolerance, if one is due."""

    def on_update(self, height: int, received: int, decided: int, expected: int) -> None:
        """The open round moved: updates received and decided of those expected."""

    def on_round(self, report: RoundReport) -> None:
        """A block was committed."""

    def on_test(self, report: TestReport) -> None:
        """A model was tested."""


class SilentObserver:
    """Sees nothing and says nothing."""

    def on_start(self, state: ChainState, rounds: int, warning: str | None) -> None:
        """Ignore the start."""

    def on_update(self, height: int, received: int, decided: int, expected: int) -> None:
        """Ignore progress."""

    def on_round(self, report: RoundReport) -> None:
        """Ignore a block."""

    def on_test(self, report: TestReport) -> None:
        """Ignore a test."""


def describe_outcome(decision: Decision | None) -> str:
    """Return the word for what became of a trainer's update in a block."""
    if decision is None:
        return "none"
    return decision.fault.name.lower() if decision.reason is Reason.FAULT else decision.reason.name.lower()


def build_trainer_reports(
    state: ChainState, names: dict[bytes, int], attackers: dict[bytes, str]
) -> tuple[TrainerReport, ...]:
    """Return a report per trainer of the head block; ``names`` maps keys to indices."""
    shares = get_trust_shares(state)
    by_trainer: dict[bytes, Decision] = {}
    for decision in state.head.body.decisions:
        other = by_trainer.get(decision.trainer)
        if other is None or (decision.weight, decision.k) >= (other.weight, other.k):
            by_trainer[decision.trainer] = decision
    reports = []
    for key in sorted(shares, key=lambda item: names.get(item, len(names))):
        found = by_trainer.get(key)
        reports.append(
            TrainerReport(
                index=names.get(key, -1),
                key=key,
                trust_share=shares[key],
                score=None if found is None else found.score / SCORE_ONE,
                outcome=describe_outcome(found),
                weight_share=0.0 if found is None else found.weight / WEIGHT_ONE,
                attack=attackers.get(key),
            )
        )
    return tuple(reports)


def get_trust_shares(state: ChainState) -> dict[bytes, float]:
    """Return each trainer's share of all trust, for people to read."""
    return compute_trust_shares(state.params.trust, state.core.trust)


def describe_block(block: Block) -> dict[str, object]:
    """Return a block as JSON data: what ``flobc blocks --json`` prints."""
    header = block.header
    return {
        "height": header.height,
        "header": compute_header_digest(header).hex(),
        "parent": header.parent.hex(),
        "model_digest": header.model.hex(),
        "state_digest": header.state.hex(),
        "closing": header.closing.name.lower(),
        "closing_position": header.closing_position,
        "loss": None if header.loss is None else header.loss / SCORE_ONE,
        "accuracy": None if header.accuracy is None else header.accuracy / SCORE_ONE,
        "seals": len(block.certificate),
        "accepted": [describe_decision(item) for item in block.accepted],
        "rejected": [describe_decision(item) for item in block.rejected],
        "unused": [
            describe_decision(item)
            for item in block.body.decisions
            if item.reason in (Reason.SUPERSEDED, Reason.DUPLICATE)
        ],
        "evidence": len(block.body.evidence),
    }


def describe_decision(decision: Decision) -> dict[str, object]:
    """Return one decision as JSON data."""
    return {
        "update": decision.update.hex(),
        "trainer": decision.trainer.hex(),
        "base_height": decision.base_height,
        "k": decision.k,
        "score": decision.score / SCORE_ONE,
        "reason": describe_outcome(decision),
        "staleness": decision.staleness,
        "weight": decision.weight / WEIGHT_ONE,
    }
