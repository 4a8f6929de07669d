"""The synchronisation scheme's parameters; part of genesis, fixed for a chain's life."""

from __future__ import annotations

from dataclasses import dataclass

from flobc.protocol.bounds import PPM, require_bool, require_choice, require_int

SCHEMES = ("bsp", "ssp", "bap", "adaptive")

UNBOUNDED_STALENESS = 2**31 - 1
"""A ``max_staleness`` that no chain reaches."""

_MAX_PERIOD_MS = 7 * 24 * 3600 * 1000
_MAX_COUNT = 1_000_000


@dataclass(frozen=True)
class SyncParams:
    """When a round closes and how late or far ahead an update may be.

    ``bsp`` allows neither lateness nor work ahead, so it ignores ``quota`` and, unless
    ``late_at_full_weight``, ``max_staleness``; only ``bap`` and ``adaptive`` read ``majority_ratio_ppm``.
    """

    scheme: str = "bap"
    period_ms: int = 60_000
    """The round's deadline; the prototype's default period."""
    majority_ratio_ppm: int = 600_000
    """Share of the active trainers that closes a ``bap`` round, and the least that closes an ``adaptive`` one."""
    max_staleness: int = 4
    """How many heights an update's base may lie behind the head."""
    quota: int = 3
    """Updates one trainer may publish from one base; the prototype's."""
    min_updates: int = 1
    """Least number of decided updates in a block."""
    liveness_rounds: int = 5
    """Blocks for which a trainer counts as active after its last accepted update."""
    late_at_full_weight: bool = False
    """The prototype's rule: a late update is not discounted, in any scheme."""
    barrier_only_at_period: bool = False
    """The prototype's rule: ``bsp`` and ``ssp`` close at a deadline only, even when everybody is done."""


def validate_sync_params(params: SyncParams) -> None:
    """Check every parameter's range. **Raises** UsageError. **Source**: SYNC-1."""
    require_choice("sync.scheme", params.scheme, SCHEMES)
    require_int("sync.period_ms", params.period_ms, 1, _MAX_PERIOD_MS, "a round's deadline in milliseconds")
    require_int("sync.majority_ratio_ppm", params.majority_ratio_ppm, 1, PPM, "share that closes a round")
    require_int("sync.max_staleness", params.max_staleness, 0, UNBOUNDED_STALENESS, "heights behind the head")
    require_int("sync.quota", params.quota, 1, _MAX_COUNT, "updates from one base")
    require_int("sync.min_updates", params.min_updates, 1, _MAX_COUNT, "decided updates in a block")
    require_int("sync.liveness_rounds", params.liveness_rounds, 1, _MAX_COUNT, "blocks that keep one active")
    require_bool("sync.late_at_full_weight", params.late_at_full_weight, "no staleness discount")
    require_bool("sync.barrier_only_at_period", params.barrier_only_at_period, "close at deadlines only")
