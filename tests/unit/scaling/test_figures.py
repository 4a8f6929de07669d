"""Figures of measurements: intervals, percentiles, efficiency, the curve, and who is left out of it."""

from __future__ import annotations

import math

import pytest

from flobc.composition.estimates import estimate_mean
from flobc.composition.scaling.figures import Fit, compute_figures
from flobc.composition.scaling.measurement import Measurement, compute_percentile
from flobc.composition.scaling.plan import LoadPlan, Step

FIXED_S, PER_TRAINER_S = 2.0, 0.25
STEPS = tuple(Step(trainers, 10 - trainers) for trainers in (9, 7, 5, 3, 1))
PLAN = LoadPlan("five", STEPS)


def measure(step: Step, repeat: int = 1, round_s: float | None = None, share: float | None = 0.5) -> Measurement:
    """A step whose rounds take what the curve says, unless told otherwise."""
    seconds = FIXED_S + PER_TRAINER_S * step.trainers if round_s is None else round_s
    rounds = 4
    return Measurement(
        trainers=step.trainers,
        validators=step.validators,
        repeat=repeat,
        seconds=rounds * seconds,
        decided=rounds * step.trainers,
        accepted=rounds * step.trainers,
        round_s=(seconds,) * rounds,
        cores={"trainer": 0.25, "kafka": 0.5},
        machine_share=share,
    )


def test_the_interval_is_students() -> None:
    """Five values of standard deviation sqrt(2.5): 2.776 is Student's quantile for four degrees of freedom."""
    estimate = estimate_mean([1, 2, 3, 4, 5])
    assert estimate.mean == 3
    assert estimate.half == pytest.approx(2.776 * math.sqrt(2.5) / math.sqrt(5))
    assert estimate_mean([4.0]).half is None
    assert estimate_mean([float(number % 2) for number in range(40)]).half == pytest.approx(
        2.0227 * 0.50637 / 40**0.5, 1e-4
    )


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.95, 95), (0.99, 99), (1.0, 100), (0.001, 1)])
def test_percentiles_are_of_the_nearest_rank(share: float, expected: int) -> None:
    assert compute_percentile([float(number) for number in range(100, 0, -1)], share) == expected


def test_the_curve_is_found_and_says_where_it_bends() -> None:
    figures = compute_figures(PLAN, [measure(step) for step in STEPS])
    assert figures.fit is not None
    assert figures.fit.fixed_s == pytest.approx(FIXED_S)
    assert figures.fit.per_trainer_s == pytest.approx(PER_TRAINER_S)
    assert figures.fit.ceiling == pytest.approx(1 / PER_TRAINER_S)
    knee = figures.fit.knee
    first = figures.fit.compute(1e-6) / 1e-6
    one_more = (figures.fit.compute(knee + 1e-4) - figures.fit.compute(knee)) / 1e-4
    assert one_more == pytest.approx(first / 2, rel=1e-3)
    assert figures.saturated is not None
    assert figures.saturated.step == Step(5, 5)  # the first with at least 3.3 trainers
    assert figures.best is not None
    assert figures.best.step == Step(9, 1)


def test_a_point_of_a_busy_machine_is_marked_and_not_fitted() -> None:
    bent = [
        measure(step, round_s=100.0 if step.trainers == 9 else None, share=0.9 if step.trainers == 9 else 0.5)
        for step in STEPS
    ]
    figures = compute_figures(PLAN, bent)
    assert [point.marked for point in figures.points] == [True, False, False, False, False]
    assert figures.fit is not None
    assert figures.fit.per_trainer_s == pytest.approx(PER_TRAINER_S)


def test_one_busy_repeat_marks_the_point_and_two_points_are_no_curve() -> None:
    measurements = [measure(step, repeat, share=0.81 if repeat == 2 else 0.1) for step in STEPS for repeat in (1, 2)]
    assert all(point.marked for point in compute_figures(PLAN, measurements).points)
    assert compute_figures(PLAN, measurements).fit is None
    assert compute_figures(PLAN, [measure(step) for step in STEPS[:2]]).fit is None
    assert compute_figures(PLAN, []).points == ()


def test_what_nobody_measured_of_a_machine_is_not_marked() -> None:
    (point,) = compute_figures(PLAN, [measure(STEPS[0], share=None)]).points
    assert (point.machine_share, point.marked) == (None, False)


def test_updates_that_grow_with_every_trainer_have_no_knee() -> None:
    figures = compute_figures(PLAN, [measure(step, round_s=2.0) for step in STEPS])
    assert figures.fit == Fit(pytest.approx(2.0), 0.0)
    assert math.isinf(figures.fit.knee)
    assert figures.saturated is None
    assert [point.efficiency for point in figures.points] == pytest.approx([1.0] * 5)


def test_efficiency_is_against_the_step_with_the_fewest_trainers() -> None:
    figures = compute_figures(PLAN, [measure(step) for step in STEPS])
    alone = 1 / (FIXED_S + PER_TRAINER_S)
    for point in figures.points:
        expected = 1 / (FIXED_S + PER_TRAINER_S * point.step.trainers) / alone
        assert point.efficiency == pytest.approx(expected)


def test_repeats_make_one_point() -> None:
    figures = compute_figures(
        PLAN, [measure(STEPS[0], repeat, round_s=seconds) for repeat, seconds in ((1, 3.0), (2, 4.5))]
    )
    (point,) = figures.points
    assert (point.repeats, point.rounds, point.p50_s, point.p99_s) == (2, 8, 3.0, 4.5)
    assert point.updates_per_s.mean == pytest.approx((3.0 + 2.0) / 2)
    assert point.updates_per_s.half == pytest.approx(12.706 * 0.5)
