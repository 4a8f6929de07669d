"""A validator's arithmetic, wherever it is done: evaluating certified models, scoring updates, aggregating rounds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from flobc.protocol.consensus.state import ClosedRound
from flobc.protocol.messages import Vote
from flobc.protocol.roles.duties import BaseEvaluation, EvaluateBase, ScoreUpdate


class Scorer(Protocol):
    """What a validator computes on its private shard. Called beside the loop, from several threads at once.

    ``max_jobs`` and ``batch_size`` bound how many scorings may be under way and how many updates each takes.
    """

    max_jobs: int
    batch_size: int

    def evaluate(self, duty: EvaluateBase) -> BaseEvaluation:
        """Return loss and accuracy of a certified model. **Raises** NotHeld when nobody has it now."""
        ...

    def score(self, duties: Sequence[ScoreUpdate], elapsed_ms: int) -> list[Vote | None]:
        """Return a vote for each update, None where payload or base are no longer held (ROUND-6..ROUND-8)."""
        ...

    def aggregate(self, closed: ClosedRound, parent: bytes) -> bytes:
        """Return the digest of the model that a closed round makes of ``parent``, and keep the model (AGG).

        **Raises** NotHeld when nobody has a payload or the parent now.
        """
        ...
