"""From cells to figures: means with confidence intervals for every point, and curves over rounds and time."""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from flobc.composition.estimates import Estimate, estimate_mean
from flobc.simulation.experiments.experiment import Experiment, Part
from flobc.simulation.experiments.measures import MEASURES, Outcome

Points = tuple[str, ...]
"""One point of each axis, in their order."""
_STEPS = 200
"""Places at which a curve over time is read."""


@dataclass(frozen=True)
class Found:
    """An experiment's part with what its cells found, by points and seed."""

    part: Part
    outcomes: Mapping[tuple[Points, int], Outcome]

    def get_seeds(self, points: Points) -> dict[int, Outcome]:
        """Return what was found at some points, by seed."""
        return {seed: outcome for (found, seed), outcome in sorted(self.outcomes.items()) if found == points}

    def get_values(self, points: Points, measure: str) -> dict[int, float]:
        """Return a measure at some points by seed; a seed whose cell has it not is left out."""
        compute, target = MEASURES[measure].compute, self.part.target
        values = {seed: compute(outcome, target) for seed, outcome in self.get_seeds(points).items()}
        return {seed: value for seed, value in values.items() if value is not None}

    def estimate(self, points: Points, measure: str) -> Estimate | None:
        """Return a measure's mean at some points; None where no cell has it."""
        values = list(self.get_values(points, measure).values())
        return estimate_mean(values) if values else None

    def place(self, chosen: Mapping[str, str]) -> Points:
        """Return the points of all axes; those that are not chosen are the axes' first."""
        return tuple(chosen.get(axis.name, axis.points[0].name) for axis in self.part.axes)


def gather(experiment: Experiment, outcomes: Mapping[tuple[str, Points, int], Outcome]) -> list[Found]:
    """Return each part with its own outcomes."""
    return [
        Found(part, {(points, seed): found for (name, points, seed), found in outcomes.items() if name == part.name})
        for part in experiment.parts
    ]


@dataclass(frozen=True)
class Curve:
    """A mean over seeds along rounds or seconds, with half its confidence interval."""

    xs: tuple[float, ...]
    estimates: tuple[Estimate, ...]


def build_round_curve(outcomes: Sequence[Outcome]) -> Curve:
    """Return test accuracy in percent by round, where every seed has it."""
    tests = [{height: accuracy for height, _, accuracy in outcome.list_tests()} for outcome in outcomes]
    heights = sorted(set.intersection(*(set(found) for found in tests))) if tests else []
    return Curve(
        tuple(map(float, heights)), tuple(estimate_mean([found[height] for found in tests]) for height in heights)
    )


def build_time_curve(outcomes: Sequence[Outcome], until_s: float | None) -> Curve:
    """Return test accuracy in percent by virtual seconds: of each seed that of the newest model at that time."""
    tests = [[(at_ms / 1000, accuracy) for _, at_ms, accuracy in outcome.list_tests()] for outcome in outcomes]
    if not tests or not all(tests):
        return Curve((), ())
    start, stop = max(found[0][0] for found in tests), min(found[-1][0] for found in tests)
    stop = min(stop, until_s) if until_s is not None else stop
    if stop < start:
        return Curve((), ())
    xs = [start + (stop - start) * step / _STEPS for step in range(_STEPS + 1)] if stop > start else [start]
    times = [[at_s for at_s, _ in found] for found in tests]
    estimates = tuple(
        estimate_mean(
            [found[bisect.bisect_right(at, x) - 1][1] for found, at in zip(tests, times, strict=True)],
        )
        for x in xs
    )
    return Curve(tuple(xs), estimates)


def build_trust_curves(outcomes: Sequence[Outcome]) -> list[Curve]:
    """Return each trainer's share of all trust in percent by round, in the order of their numbers."""
    tables = [outcome.record["trust"] for outcome in outcomes]
    if not tables or not all(tables):
        return []
    trainers = min(len(table) for table in tables)
    curves = []
    for trainer in range(trainers):
        rounds = min(len(table[trainer]) for table in tables)
        values = [[100 * table[trainer][place] for table in tables] for place in range(rounds)]
        curves.append(Curve(tuple(float(n + 1) for n in range(rounds)), tuple(map(estimate_mean, values))))
    return curves
