"""A validator's arithmetic in its own process."""

from __future__ import annotations

from collections.abc import Sequence

from flobc.errors import NotHeld
from flobc.learning.task import Examples
from flobc.protocol.consensus.state import ClosedRound
from flobc.protocol.messages import BaseReport, Fault, Vote
from flobc.protocol.params import Genesis
from flobc.protocol.roles import validator as rules
from flobc.protocol.roles.duties import BaseEvaluation, EvaluateBase, ScoreUpdate
from flobc.protocol.scoring import compute_score
from flobc.runtime.engine import LearningEngine
from flobc.runtime.local_updates import Vector


class LocalScorer:
    """A ``Scorer`` in this process; every validator of an embedded run has one, and all share the engine."""

    max_jobs = 1 << 30
    batch_size = 1

    def __init__(self, engine: LearningEngine, shard: Examples, genesis: Genesis) -> None:
        self._engine = engine
        self._shard = shard
        self._scoring = genesis.params.scoring

    def evaluate(self, duty: EvaluateBase) -> BaseEvaluation:
        """Return loss and accuracy of a certified model."""
        loss, accuracy = self._engine.evaluate(duty.model, self._shard)
        return BaseEvaluation(duty.model, BaseReport(duty.height, loss, accuracy))

    def score(self, duties: Sequence[ScoreUpdate], elapsed_ms: int) -> list[Vote | None]:
        """Return a vote for each update; those that no fault disqualifies are evaluated in one pass."""
        votes: dict[bytes, Vote] = {}
        sound: list[tuple[ScoreUpdate, Vector]] = []
        for duty in duties:
            try:
                fault = self._find_fault(duty)
                if fault is Fault.NONE:
                    sound.append((duty, self._engine.get_candidate(duty.base.model, duty.update, duty.header)))
                else:
                    votes[duty.update] = rules.build_fault_vote(duty.update, fault, elapsed_ms)
            except NotHeld:
                continue
        found = self._engine.evaluate_vectors([vector for _, vector in sound], self._shard)
        for (duty, _), candidate in zip(sound, found, strict=True):
            base = (duty.base.report.loss, duty.base.report.accuracy)
            score = compute_score(self._scoring, duty.unit_loss, base, candidate)
            votes[duty.update] = rules.build_score_vote(duty.update, score, elapsed_ms)
        return [votes.get(duty.update) for duty in duties]

    def aggregate(self, closed: ClosedRound, parent: bytes) -> bytes:
        """Return the digest of the model that a closed round makes of ``parent``, and keep the model (AGG)."""
        return self._engine.aggregate(closed, parent)

    def _find_fault(self, duty: ScoreUpdate) -> Fault:
        """Return what disqualifies an update whatever its score (ROUND-7, ROUND-8)."""
        if duty.norm_bound and duty.header.norm > duty.norm_bound:
            return Fault.NORM_BOUND
        return self._engine.check(duty.update, duty.header).fault
