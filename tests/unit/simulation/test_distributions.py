"""Draws follow their distribution and depend on seed and labels alone."""

import statistics

import pytest

from flobc.simulation.distributions import (
    Constant,
    Distribution,
    Exponential,
    Lognormal,
    Pareto,
    Uniform,
    draw,
    draw_share,
    is_drawn,
)
from flobc.simulation.members import Members, choose_share

DRAWS = 4_000


def sample(distribution: Distribution) -> list[int]:
    return [draw(distribution, 1, "sample", index) for index in range(DRAWS)]


@pytest.mark.parametrize(
    ("distribution", "median", "mean"),
    [
        (Constant(300), 300, 300),
        (Uniform(1_000, 3_000), 2_000, 2_000),
        (Exponential(1_000), 693, 1_000),
        (Lognormal(1_000, 0.5), 1_000, 1_133),
        (Pareto(1_000, 3.0, 10**9), 1_260, 1_500),
    ],
)
def test_draws_have_the_distributions_median_and_mean(distribution: Distribution, median: int, mean: int) -> None:
    found = sample(distribution)
    assert statistics.median(found) == pytest.approx(median, rel=0.06)
    assert statistics.mean(found) == pytest.approx(mean, rel=0.06)


def test_bounds_hold() -> None:
    assert all(10 <= value <= 20 for value in sample(Uniform(10, 20)))
    assert all(10 <= value <= 50 for value in sample(Pareto(10, 0.5, 50)))


def test_a_draw_depends_on_seed_and_labels_alone() -> None:
    uniform = Uniform(0, 10**9)
    assert draw(uniform, 1, "a", 2) == draw(uniform, 1, "a", 2)
    assert len({draw(uniform, seed, label) for seed in (1, 2) for label in ("a", "b")}) == 4
    assert all(0 < draw_share(3, index) < 1 for index in range(DRAWS))


def test_probabilities_are_met() -> None:
    assert not any(is_drawn(0, 1, index) for index in range(DRAWS))
    assert all(is_drawn(1_000_000, 1, index) for index in range(DRAWS))
    assert sum(is_drawn(100_000, 1, index) for index in range(DRAWS)) == pytest.approx(DRAWS / 10, rel=0.2)


def test_a_share_is_the_nearest_whole_number_but_somebody() -> None:
    assert len(choose_share(300_000, 10, 1, "x")) == 3
    assert len(choose_share(1, 10, 1, "x")) == 1
    assert choose_share(1_000_000, 3, 1, "x") == (0, 1, 2)
    chosen = {choose_share(300_000, 10, 1, height) for height in range(20)}
    assert len(chosen) > 10
    assert Members(numbers=(3, 1, 3)).choose(5, 1) == (1, 3)
