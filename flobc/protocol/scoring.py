"""From two evaluations to one integer score (ROUND-6)."""

from __future__ import annotations

from flobc.protocol.params import SCORE_ONE, ScoringParams

LOSS_LIMIT = 10**15
"""What a loss that is not finite, or absurdly large, counts as; in 1e-6 units."""


def compute_score(params: ScoringParams, unit_loss: int, base: tuple[int, int], candidate: tuple[int, int]) -> int:
    """Return a validator's score of an update in 1e-6 units: positive when the candidate is better.

    **Units**: both evaluations are (loss, accuracy) in 1e-6 units on the validator's own shard.
    ``loss``: decrease of the loss in units of the largest of the untrained model's, the base's and
    ``loss_floor``; ``accuracy``: difference of the accuracies. Clipped to +-1,000,000 and rounded to
    ``score_step``, a half away from zero, so that shards leak less.

    The unit is fixed for a chain because a decrease relative to the base's own loss grows without
    bound as the model gets good: then every honest local overfit looks like an attack.
    """
    if params.metric == "accuracy":
        raw = candidate[1] - base[1]
    else:
        loss = min(base[0], LOSS_LIMIT)
        unit = max(loss, min(unit_loss, LOSS_LIMIT), params.loss_floor)
        raw = _round_ratio(SCORE_ONE * (loss - min(candidate[0], LOSS_LIMIT)), unit)
    step = params.score_step
    limit = SCORE_ONE // step * step
    return max(-limit, min(limit, _round_ratio(raw, step) * step))


def _round_ratio(numerator: int, denominator: int) -> int:
    """Return the nearest integer to the ratio, halves away from zero; ``denominator`` > 0."""
    magnitude = (2 * abs(numerator) + denominator) // (2 * denominator)
    return magnitude if numerator >= 0 else -magnitude
