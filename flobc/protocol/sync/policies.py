"""The decision after every record: does the round close, and if not, which timer runs?

A round begins at step 0 and moves one step on whenever its timer has expired, which is a quorum of
signed Timeouts for that height and step. Step 0 lasts one period; under ``ssp`` step 1 may be an
extension. A later step closes the round at once if enough updates were decided when it began. If
not, no timer runs until enough are, and then one more period does. So a round without updates costs
no further records, however long it lasts.

A timer starts at the record after which it first appears here and keeps its duration while it runs.

**Source**: spec/SYNC.md; the schemes' definitions are the FLoBC paper's (arXiv 2112.11873).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TypeAlias

from flobc.protocol.bounds import PPM
from flobc.protocol.sync.adaptive import Arrival, choose_target
from flobc.protocol.sync.params import SyncParams

COMPLETE = "complete"
MAJORITY = "majority"
DEADLINE = "deadline"


@dataclass(frozen=True)
class RoundView:
    """What a scheme may know of the running round; trainers are in ascending order of keys.

    ``decided_at_step`` and ``finished_at_step`` are ``decided_updates`` and ``count_finished`` as they
    were when ``step`` began; the deadline and the extension are judged by them. ``arrivals`` has the first update
    of each trainer in the last block; only ``adaptive`` looks at it.
    """

    active: tuple[bytes, ...]
    decided_trainers: tuple[bytes, ...] = ()
    decided_updates: int = 0
    step: int = 0
    decided_at_step: int = 0
    finished_at_step: int = 0
    arrivals: tuple[Arrival, ...] = ()


@dataclass(frozen=True)
class Timer:
    """The timer whose expiry ends ``step``."""

    step: int
    duration_ms: int


@dataclass(frozen=True)
class Open:
    """The round goes on; ``timer`` is the one that runs, if any."""

    timer: Timer | None


@dataclass(frozen=True)
class Close:
    """The round closes here; ``reason`` is "complete", "majority" or "deadline"."""

    reason: str


Decision: TypeAlias = Open | Close


def decide(params: SyncParams, view: RoundView) -> Decision:
    """Whether the round closes at this record, and why; else the timer that runs."""
    if _has_enough(params, view.decided_updates):
        if _is_count_reached(params, view):
            return Close(COMPLETE if params.scheme in ("bsp", "ssp") else MAJORITY)
        if view.step > 0 and not _is_extended(params, view) and _has_enough(params, view.decided_at_step):
            return Close(DEADLINE)
    return Open(timer(params, view))


def timer(params: SyncParams, view: RoundView) -> Timer | None:
    """The timer that runs in an open round, or None while it waits for enough decided updates."""
    if _is_extended(params, view):
        unfinished = _count_unfinished_at_step(view)
        return Timer(view.step, max(1, params.period_ms * unfinished // len(view.active)))
    if view.step == 0 or _has_enough(params, view.decided_updates):
        return Timer(view.step, params.period_ms)
    return None


def advance_step(view: RoundView) -> RoundView:
    """The view at the record that completes a quorum of Timeouts for its step."""
    return replace(
        view,
        step=view.step + 1,
        decided_at_step=view.decided_updates,
        finished_at_step=count_finished(view.active, view.decided_trainers),
    )


def count_finished(active: tuple[bytes, ...], decided_trainers: tuple[bytes, ...]) -> int:
    """How many active trainers have at least one decided update in this round."""
    decided = frozenset(decided_trainers)
    return sum(trainer in decided for trainer in active)


def is_base_allowed(params: SyncParams, base_height: int, head_height: int) -> bool:
    """Whether an update from this base may be decided while ``head_height`` is the newest block."""
    if params.scheme == "bsp" and not params.late_at_full_weight:
        return base_height == head_height
    return max(0, head_height - params.max_staleness) <= base_height <= head_height


def is_k_allowed(params: SyncParams, k: int) -> bool:
    """Whether a trainer may publish a (k+1)-th update from one base."""
    return 0 <= k < (1 if params.scheme == "bsp" else params.quota)


def compute_discount(params: SyncParams, staleness: int) -> int:
    """What remains of an update whose base lies ``staleness`` >= 0 heights behind: 1/(1+s), in 2^-16."""
    return 65536 if params.late_at_full_weight else 65536 // (1 + staleness)


def _has_enough(params: SyncParams, decided_updates: int) -> bool:
    return decided_updates >= params.min_updates


def _is_count_reached(params: SyncParams, view: RoundView) -> bool:
    active = len(view.active)
    if active == 0:
        return False
    finished = count_finished(view.active, view.decided_trainers)
    least = -(-active * params.majority_ratio_ppm // PPM)
    if params.scheme == "bap":
        return finished >= least
    if params.scheme == "adaptive":
        return finished >= choose_target(view.arrivals, least, active, params.max_staleness)
    return finished == active and not params.barrier_only_at_period


def _count_unfinished_at_step(view: RoundView) -> int:
    return max(0, len(view.active) - view.finished_at_step)


def _is_extended(params: SyncParams, view: RoundView) -> bool:
    """Whether this step is the extension of ``ssp``: the first timer left somebody unfinished."""
    return params.scheme == "ssp" and view.step == 1 and _count_unfinished_at_step(view) > 0
