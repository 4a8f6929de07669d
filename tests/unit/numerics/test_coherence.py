"""AGG-30: what hides among honest updates one by one shows in how they pull together."""

from __future__ import annotations

import numpy as np
import pytest

from flobc.numerics.coherence import LIMIT
from flobc.numerics.fixed_point import Grid
from flobc.numerics.rules import RuleSpec, apply_rule

SIZE = 4_000
HONEST = 7


def make_honest(generator: np.random.Generator, count: int = HONEST) -> np.ndarray:
    """A common direction, and to each its own difference of twice its length."""
    common = generator.normal(0, 1_000, SIZE)
    return common + generator.normal(0, 2_000, (count, SIZE))


def apply(updates: np.ndarray, weights: list[int] | None = None) -> tuple[np.ndarray, tuple[int, ...]]:
    count = len(updates)
    result = apply_rule(
        RuleSpec("coherence_filter"),
        np.zeros(SIZE, np.int32),
        updates.astype(np.int32),
        weights=weights or [2**20 // count] * count,
        discounts=[65536] * count,
        grid=Grid.uniform(SIZE),
    )
    return result.model, result.selected


@pytest.mark.parametrize("seed", range(5))
def test_honest_updates_all_stay(seed: int) -> None:
    generator = np.random.default_rng(seed)
    for count in (5, 10, 30):
        assert apply(make_honest(generator, count))[1] == tuple(range(count))


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("z", [1.2, 1.5, 3.0])
def test_three_of_ten_that_move_every_coordinate_one_way_are_dropped(seed: int, z: float) -> None:
    """As "a little is enough" and min-max do: no farther from the mean than honest updates from each other."""
    generator = np.random.default_rng(seed)
    honest = make_honest(generator)
    forged = honest.mean(axis=0) - z * honest.std(axis=0) + generator.normal(0, 1, (3, SIZE))
    model, selected = apply(np.concatenate([honest, forged]))
    assert selected == tuple(range(HONEST))
    assert np.abs(model - honest.mean(axis=0)).max() < 2


def test_a_single_strange_update_is_not_for_this_rule_to_drop() -> None:
    """One alone has nobody to pull with; scores, norm bound and trust are there for it."""
    updates = make_honest(np.random.default_rng(1), 10)
    updates[9] *= -3
    assert apply(updates)[1] == tuple(range(10))


def test_what_weighs_little_may_pull_together() -> None:
    honest = make_honest(np.random.default_rng(1))
    forged = np.repeat((honest.mean(axis=0) - 1.5 * honest.std(axis=0))[None], 3, axis=0)
    assert len(apply(np.concatenate([honest, forged]), [100_000] * 7 + [5_000] * 3)[1]) == 10


def test_the_heavier_half_is_never_dropped() -> None:
    """Nor the lighter one where it is the honest one: beyond half, nothing tells the two apart."""
    honest = make_honest(np.random.default_rng(1), 4)
    forged = np.repeat((honest.mean(axis=0) - 1.5 * honest.std(axis=0))[None], 6, axis=0)
    _, selected = apply(np.concatenate([honest, forged]))
    assert len(selected) > 5


def test_the_dropped_ones_mass_goes_to_the_others() -> None:
    honest = make_honest(np.random.default_rng(2))
    forged = np.repeat((honest.mean(axis=0) - 1.5 * honest.std(axis=0))[None], 3, axis=0)
    model, _ = apply(np.concatenate([honest, forged]), [50_000] * 10)
    assert np.abs(model - honest.mean(axis=0) * 500_000 / 2**20).max() < 2


def test_updates_that_are_all_alike_stay() -> None:
    alike = np.repeat(make_honest(np.random.default_rng(3), 1), 10, axis=0)
    assert len(apply(alike)[1]) == 10
    assert LIMIT < 1
