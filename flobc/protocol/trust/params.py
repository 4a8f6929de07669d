"""The reward-penalty policy's parameters; part of genesis, fixed for a chain's life."""

from __future__ import annotations

from dataclasses import dataclass

from flobc.protocol.bounds import PPM, require_choice, require_int

POLICIES = ("none", "flobc", "flobc_plus")

INITIAL_TRUST = 1_000_000
"""What a genesis member starts with under ``flobc_plus``; its unit is 1e-6 of this."""

TRUST_ONE = 10**9
"""What all shares sum to under ``none`` and ``flobc``."""

_MAX_TRUST = 1000 * INITIAL_TRUST
_MAX_ROUNDS = 1_000_000


@dataclass(frozen=True)
class TrustParams:
    """How trust moves; spec/TRUST.md explains the defaults. ``none`` and ``flobc`` have no others.

    **Units**: trust in 1e-6 of the initial trust, scores in 1e-6, ``_ppm`` in 1e-6 of a whole.
    """

    policy: str = "flobc_plus"
    rate_ppm: int = 2_000_000
    """Trust gained per unit of credit."""
    decay_ppm: int = 100_000
    """Share of the way back to the initial trust that is gone in each round."""
    floor: int = 100_000
    """Least trust of anybody; where newcomers start. Above 0, so nobody is silenced for ever."""
    cap: int = 2_000_000
    """Most trust of anybody."""
    credit_cap: int = 100_000
    """Most credit, either way, from one round: one lucky or unlucky shard decides nothing."""
    fault_penalty_ppm: int = 1_000_000
    """Share of the trust above the floor that a fault takes."""
    probation_rounds: int = 5
    """Used updates in a row that end a probation."""
    probation_share_ppm: int = 200_000
    """Most weight of all trainers on probation together, as a share of everybody's."""
    reference_window: int = 8
    """How many heights back the kept medians of bases reach."""


def validate_trust_params(params: TrustParams) -> None:
    """Check every parameter's range, and that floor <= initial trust <= cap.

    **Raises** UsageError. **Source**: TRUST-1.
    """
    require_choice("trust.policy", params.policy, POLICIES)
    require_int("trust.rate_ppm", params.rate_ppm, 0, 100 * PPM, "trust gained per unit of credit")
    require_int("trust.decay_ppm", params.decay_ppm, 0, PPM, "share of the way back to the initial trust")
    require_int("trust.floor", params.floor, 1, INITIAL_TRUST, "least trust of anybody")
    require_int("trust.cap", params.cap, INITIAL_TRUST, _MAX_TRUST, "most trust of anybody")
    require_int("trust.credit_cap", params.credit_cap, 0, 2 * PPM, "most credit from one round")
    require_int("trust.fault_penalty_ppm", params.fault_penalty_ppm, 0, PPM, "trust that a fault takes")
    require_int("trust.probation_rounds", params.probation_rounds, 0, _MAX_ROUNDS, "length of a probation")
    require_int("trust.probation_share_ppm", params.probation_share_ppm, 1, PPM - 1, "weight of probation")
    require_int("trust.reference_window", params.reference_window, 1, 1024, "heights of kept medians")
