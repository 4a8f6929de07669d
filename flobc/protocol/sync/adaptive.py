"""How many trainers an ``adaptive`` round waits for: as many as made the last one worth its time.

An update that was ``late`` by some heights took its elapsed time and that many rounds. Where rounds last as long as the
k-th trainer takes, those that are quicker arrive in each, and the others after several, discounted for it. What
such a round is worth is the sum of these discounts, each for as many rounds as its trainer needs. The round waits for
the number of trainers at which this worth per unit of time is greatest.

**Source**: SYNC-15, SYNC-16; docs/adr/0014.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

_ONE = 1 << 16


@dataclass(frozen=True)
class Arrival:
    """When a trainer's update came in the last round: median elapsed time by its votes, and its staleness."""

    elapsed_ms: int
    staleness: int


def choose_target(arrivals: Sequence[Arrival], least: int, active: int, max_staleness: int) -> int:
    """Return how many of the ``active`` trainers to wait for, from one arrival of each trainer of the last round.

    At least ``least``: else whoever answers at once would close rounds alone. Where nothing is known it is all of them.
    """
    if not arrivals:
        return active
    times_ms = compute_times(arrivals)
    best, best_worth, best_ms = least, 0, 1
    for waited_for in range(least, min(len(times_ms), active) + 1):
        round_ms = times_ms[waited_for - 1]
        worth = compute_worth(times_ms, round_ms, max_staleness)
        # worth / time, compared without dividing; of equal ones the larger number.
        if worth * best_ms >= best_worth * round_ms:
            best, best_worth, best_ms = waited_for, worth, round_ms
    return best


def compute_times(arrivals: Sequence[Arrival]) -> tuple[int, ...]:
    """Return how long each took from its base on, ascending, in ms and at least 1.

    The last round lasted until its last update from its own base came. An update that came after a
    round's close and before its certificate has the older round's clock: then one round less has passed.
    """
    on_time = [item.elapsed_ms for item in arrivals if not item.staleness]
    length_ms = max(on_time, default=max((item.elapsed_ms for item in arrivals), default=0))
    times = []
    for item in arrivals:
        passed = item.staleness - (1 if item.staleness and item.elapsed_ms > length_ms else 0)
        times.append(max(1, item.elapsed_ms + passed * length_ms))
    return tuple(sorted(times))


def compute_worth(times_ms: Sequence[int], round_ms: int, max_staleness: int) -> int:
    """Return what a round of this length brings on average, in 2^-16 updates: 1/(1+s) in one of 1+s rounds each."""
    worth = 0
    for time_ms in times_ms:
        rounds = -(-time_ms // round_ms)
        if rounds <= max_staleness + 1:
            worth += _ONE // (rounds * rounds)
    return worth
