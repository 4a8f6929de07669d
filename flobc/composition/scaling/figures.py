"""From measurements to figures: means with confidence intervals, efficiency, and where the curve bends."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from flobc.composition.estimates import Estimate, estimate_mean
from flobc.composition.scaling.measurement import Measurement, compute_percentile
from flobc.composition.scaling.plan import MIN_FIT, LoadPlan, Step


@dataclass(frozen=True)
class Point:
    """All repeats of one step.

    ``p50_s``, ``p95_s`` and ``p99_s`` are of the rounds of all repeats together. ``efficiency`` is a trainer's share
    of updates a second, over that in the step with the fewest trainers. ``machine_share`` is the highest of all
    repeats; ``marked`` says that it is above what the plan allows, so that the point is not fitted.
    """

    step: Step
    repeats: int
    rounds: int
    updates_per_s: Estimate
    accepted_share: float
    p50_s: float
    p95_s: float
    p99_s: float
    efficiency: float
    cores: dict[str, float]
    machine_share: float | None
    marked: bool


@dataclass(frozen=True)
class Fit:
    """T trainers need ``fixed_s`` + T * ``per_trainer_s`` for T updates; both in seconds, by least squares.

    The first part is done side by side, the second one after the other, so 1 / ``per_trainer_s`` is the most updates
    a second there can be, and at ``knee`` trainers one more adds half of what the first one did. A curve without a
    bend has ``per_trainer_s`` 0 and no knee.
    """

    fixed_s: float
    per_trainer_s: float

    @property
    def ceiling(self) -> float:
        """The most updates a second."""
        return math.inf if self.per_trainer_s <= 0 else 1 / self.per_trainer_s

    @property
    def knee(self) -> float:
        """How many trainers saturate it."""
        return math.inf if self.per_trainer_s <= 0 else (math.sqrt(2) - 1) * self.fixed_s / self.per_trainer_s

    def compute(self, trainers: float) -> float:
        """Return updates a second with so many trainers."""
        return trainers / (self.fixed_s + trainers * self.per_trainer_s)


@dataclass(frozen=True)
class Figures:
    """All points in the order of the plan, and the curve through those that are not marked, if they are enough."""

    points: tuple[Point, ...]
    fit: Fit | None

    @property
    def saturated(self) -> Point | None:
        """The point with the fewest trainers that has reached the knee."""
        reached = [point for point in self.points if self.fit is not None and point.step.trainers >= self.fit.knee]
        return min(reached, key=lambda point: point.step.trainers, default=None)

    @property
    def best(self) -> Point | None:
        """The point with the most updates a second."""
        return max(self.points, key=lambda point: point.updates_per_s.mean, default=None)


def compute_figures(plan: LoadPlan, measurements: Sequence[Measurement]) -> Figures:
    """Return the figures of every step that was measured at least once."""
    found = {step: [each for each in measurements if each.step == step] for step in plan.steps}
    measured = [step for step in plan.steps if found[step]]
    if not measured:
        return Figures((), None)
    least = min(measured, key=lambda step: step.trainers)
    alone = statistics.fmean(each.updates_per_s for each in found[least]) / least.trainers
    points = tuple(_build_point(plan, step, found[step], alone) for step in measured)
    return Figures(points, fit_curve([point for point in points if not point.marked]))


def fit_curve(points: Sequence[Point]) -> Fit | None:
    """Fit the seconds that T updates take as a line in T; None when there are too few numbers of trainers."""
    usable = [point for point in points if point.updates_per_s.mean > 0]
    if len({point.step.trainers for point in usable}) < MIN_FIT:
        return None
    trainers = [point.step.trainers for point in usable]
    seconds = [point.step.trainers / point.updates_per_s.mean for point in usable]
    slope, start = statistics.linear_regression(trainers, seconds)
    if slope <= 0:
        return Fit(statistics.fmean(seconds), 0.0)
    return Fit(start, slope) if start > 0 else Fit(0.0, statistics.fmean(seconds) / statistics.fmean(trainers))


def _build_point(plan: LoadPlan, step: Step, repeats: Sequence[Measurement], alone: float) -> Point:
    rate = estimate_mean([each.updates_per_s for each in repeats])
    rounds = [seconds for each in repeats for seconds in each.round_s]
    shares = [each.machine_share for each in repeats if each.machine_share is not None]
    roles = sorted({role for each in repeats for role in each.cores})
    decided = sum(each.decided for each in repeats)
    share = max(shares, default=None)
    return Point(
        step=step,
        repeats=len(repeats),
        rounds=len(rounds),
        updates_per_s=rate,
        accepted_share=sum(each.accepted for each in repeats) / decided if decided else 0.0,
        p50_s=compute_percentile(rounds, 0.5),
        p95_s=compute_percentile(rounds, 0.95),
        p99_s=compute_percentile(rounds, 0.99),
        efficiency=rate.mean / step.trainers / alone if alone else 0.0,
        cores={role: statistics.fmean(each.cores.get(role, 0.0) for each in repeats) for role in roles},
        machine_share=share,
        marked=share is not None and share > plan.max_machine_share,
    )
