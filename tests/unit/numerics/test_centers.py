"""Geometric median and centered clipping beside their publications' formulas in float64."""

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from flobc.numerics.fixed_point import Grid
from flobc.numerics.rules import RuleSpec, apply_rule

Vectors = NDArray[np.float64]
SIZE = 300


def weiszfeld(points: Vectors, weights: Vectors) -> Vectors:
    """Pillutla, Kakade and Harchaoui 2019, algorithm 2, nu = 1."""
    center = weights @ points / weights.sum()
    for _ in range(8):
        pulls = weights / np.maximum(1.0, np.linalg.norm(points - center, axis=1))
        center = pulls @ points / pulls.sum()
    return center


def clip(points: Vectors, weights: Vectors) -> Vectors:
    """Karimireddy, He and Jaggi 2021, equation 6, from 0, the radius the lower median of the lengths."""
    center = np.zeros(points.shape[1])
    for _ in range(3):
        lengths = np.linalg.norm(points - center, axis=1)
        radius = np.sort(lengths)[(len(lengths) - 1) // 2]
        scales = np.minimum(1.0, radius / np.maximum(lengths, 1e-9))
        center = center + (weights / weights.sum() * scales) @ (points - center)
    return center


def apply(name: str, points: NDArray[np.int32], weights: list[int]) -> NDArray[np.int32]:
    size = points.shape[1]
    result = apply_rule(
        RuleSpec(name),
        np.zeros(size, np.int32),
        points,
        weights=weights,
        discounts=[65536] * len(points),
        grid=Grid.uniform(size),
    )
    assert result.rule_used == name
    return result.model


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize(("name", "published"), [("geometric_median", weiszfeld), ("centered_clipping", clip)])
def test_rules_are_the_published_ones_to_within_the_shares_rounding(
    name: str, published: Callable[[Vectors, Vectors], Vectors], seed: int
) -> None:
    """AGG-27, AGG-28: shares are rounded to 2^-20 at each step."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(3, 20))
    spread = generator.lognormal(12, 1, (count, 1))
    points = (generator.normal(0, 1, (count, SIZE)) * spread).astype(np.int32)
    weights = [int(value) for value in generator.dirichlet(np.ones(count)) * 2**20]
    expected = published(points.astype(np.float64), np.array(weights, np.float64)) * sum(weights) / 2**20
    assert np.abs(apply(name, points, weights) - expected).max() <= count * np.abs(points).max() * 2.0**-20


@pytest.mark.parametrize("name", ["geometric_median", "centered_clipping", "norm_clip"])
def test_three_in_ten_far_away_move_it_little(name: str) -> None:
    """AGG-27 to AGG-29: the mean goes where the liars want it."""
    generator = np.random.default_rng(3)
    honest = generator.normal(50_000, 5_000, (7, SIZE)).astype(np.int32)
    liars = np.full((3, SIZE), -2_000_000, np.int32)
    found = apply(name, np.concatenate([honest, liars]), [2**20 // 10] * 10)
    assert np.abs(found - 50_000).max() < 50_000
    assert apply("weighted_mean", np.concatenate([honest, liars]), [2**20 // 10] * 10).max() < -500_000
