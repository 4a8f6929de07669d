"""Aggregation weights: how much of each update enters the model.

**Source**: spec/WEIGHTS.md, AGG-W1 to AGG-W8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import isqrt
from typing import NamedTuple

from flobc.protocol.bounds import PPM, require_int

WEIGHT_ONE = 2**20
"""The whole weight of a round; all weights sum to at most this."""

# sqrt(examples) is taken in 2^-20, else 2 and 3 examples would weigh the same.
_SQRT_SCALE_BITS = 40


@dataclass(frozen=True)
class WeightParams:
    """How trust and claimed examples make a weight.

    ``alpha_halves`` is twice the exponent of the claimed examples, which nobody can check: 0 ignores them.
    """

    alpha_halves: int = 0
    max_examples: int = 100_000
    """Claims above this count as this."""
    min_mass_ppm: int = 500_000
    """Least denominator, as a share of the active trainers' sum: a lone submitter moves the model by less."""
    max_share_ppm: int = 500_000
    """Most weight of one update, though never less than an equal share among the active trainers."""


class Standing(NamedTuple):
    """What a trainer's mass is made of: its effective trust and the examples it claims."""

    trust: int
    num_examples: int


def validate_weight_params(params: WeightParams) -> None:
    """Check every parameter's range. **Raises** UsageError. **Source**: AGG-W1."""
    require_int("weights.alpha_halves", params.alpha_halves, 0, 2, "twice the exponent of the examples")
    require_int("weights.max_examples", params.max_examples, 1, 2**40, "most examples that count")
    require_int("weights.min_mass_ppm", params.min_mass_ppm, 0, PPM, "least share of the active sum")
    require_int("weights.max_share_ppm", params.max_share_ppm, 1, PPM, "most weight of one update")


def compute_weights(
    params: WeightParams, submitters: Sequence[Standing], active: Sequence[Standing]
) -> tuple[int, ...]:
    """Integer weights in units of 2^-20, one per submitter in the given order.

    The examples of an active trainer are those it last claimed (1 if it never did). All weights are
    0 when nobody has any mass.
    """
    masses = [_compute_mass(params, *standing) for standing in submitters]
    active_mass = sum(_compute_mass(params, *standing) for standing in active)
    denominator = max(PPM * sum(masses), params.min_mass_ppm * active_mass)
    if denominator == 0:
        return (0,) * len(masses)
    limit = max(WEIGHT_ONE * params.max_share_ppm // PPM, WEIGHT_ONE // max(len(active), 1))
    return tuple(min(WEIGHT_ONE * PPM * mass // denominator, limit) for mass in masses)


def _compute_mass(params: WeightParams, trust: int, num_examples: int) -> int:
    examples = min(num_examples, params.max_examples)
    if params.alpha_halves == 2:
        return trust * examples
    if params.alpha_halves == 1:
        return trust * isqrt(examples << _SQRT_SCALE_BITS)
    return trust
