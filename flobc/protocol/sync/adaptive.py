"""How many trainers an ``adaptive`` round waits for: as many as made the last one worth its time.

Where rounds last as long as the k-th arrival of the last one took, those that are quicker arrive in each, and the
others after several, discounted for it. What such a round is worth is the sum of these discounts, each for as many
rounds as its trainer needs. The round waits for the number at which this worth per unit of time is greatest.

**Source**: SYNC-15, SYNC-16; docs/adr/0014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ONE = 1 << 16


@dataclass(frozen=True)
class Arrival:
    """When a trainer's update came in the last round: median elapsed time by its votes."""

    elapsed_ms: int


def choose_target(arrivals: Sequence[Arrival], least: int, active: int, max_staleness: int) -> int:
    """Return how many of the ``active`` trainers to wait for, from one arrival of each trainer of the last round.

    At least ``least``: else whoever answers at once would close rounds alone. Where nothing is known it is all of them.
    """
    if not arrivals:
        return active
    times_ms = sorted(max(1, item.elapsed_ms) for item in arrivals)
    best, best_worth, best_ms = least, 0, 1
    for waited_for in range(least, min(len(times_ms), active) + 1):
        round_ms = times_ms[waited_for - 1]
        worth = compute_worth(times_ms, round_ms, max_staleness)
        # worth / time, compared without dividing; of equal ones the larger number.
        if worth * best_ms >= best_worth * round_ms:
            best, best_worth, best_ms = waited_for, worth, round_ms
    return best


def compute_worth(times_ms: Sequence[int], round_ms: int, max_staleness: int) -> int:
    """Return what a round of this length brings on average, in 2^-16 updates: 1/(1+s) in one of 1+s rounds each."""
    worth = 0
    for time_ms in times_ms:
        rounds = -(-time_ms // round_ms)
        if rounds <= max_staleness + 1:
            worth += _ONE // (rounds * rounds)
    return worth
