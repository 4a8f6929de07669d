"""Means and intervals against scipy, which scikit-learn brings along."""

import random

import pytest

from flobc.composition.estimates import CONFIDENCE, estimate_mean, get_quantile

stats = pytest.importorskip("scipy.stats")


@pytest.mark.parametrize("freedom", [1, 2, 5, 10, 20, 21, 25, 40, 100, 1000])
def test_the_quantile_is_student_s(freedom: int) -> None:
    assert get_quantile(freedom) == pytest.approx(stats.t.ppf((1 + CONFIDENCE) / 2, freedom), rel=3e-4)


@pytest.mark.parametrize("count", [2, 3, 5, 30])
def test_the_interval_is_that_of_scipy(count: int) -> None:
    rng = random.Random(count)
    values = [rng.gauss(90, 3) for _ in range(count)]
    low, high = stats.t.interval(CONFIDENCE, count - 1, loc=sum(values) / count, scale=stats.sem(values))
    found = estimate_mean(values)
    assert found.half is not None
    assert (found.mean - found.half, found.mean + found.half) == pytest.approx((low, high), rel=1e-4)


def test_one_value_has_no_interval() -> None:
    assert str(estimate_mean([0.5])) == "0.5"
