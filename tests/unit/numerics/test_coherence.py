"""AGG-30: what hides among honest updates one by one shows in how they pull together."""

from __future__ import annotations

import numpy as np
import pytest

from flobc.numerics import coherence
from flobc.numerics.coherence import LIMIT
from flobc.numerics.distances import inner_products
from flobc.numerics.fixed_point import Grid
from flobc.numerics.rows import tabulate
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


def draw_round(generator: np.random.Generator, count: int) -> np.ndarray:
    """Rounds of all kinds: some with forged updates, copies, one near the mean, or coordinates beyond 2^26."""
    scale = float(generator.choice([1.0, 1_000.0, 50_000.0]))
    updates = generator.normal(0, 1_000, 200) + generator.normal(0, 2_000, (count, 200))
    forged = int(generator.integers(0, count // 2 + 1))
    if forged:
        updates[-forged:] = updates.mean(axis=0) - generator.uniform(0.5, 3) * updates.std(axis=0)
        updates[-forged:] += generator.normal(0, generator.choice([0.0, 1.0, 500.0]), (forged, 200))
    if generator.random() < 0.3:
        updates[0] = updates[1:].mean(axis=0)
    return np.clip(updates * scale, -(2**29), 2**29).astype(np.int32)


@pytest.mark.parametrize("seed", range(60))
def test_float64_decides_as_integers_do_or_not_at_all(seed: int) -> None:
    """The short way must never drop other updates than exact arithmetic."""
    generator = np.random.default_rng(seed)
    count = int(generator.integers(5, 25))
    updates = draw_round(generator, count)
    weights = generator.integers(1, 2**20 // count, count).tolist()
    rows = tabulate(updates, weights, [65536] * count, 200)
    products = inner_products(rows, 200)
    exact = products.get_exact()
    rounded, error = products.get_rounded()
    assert np.abs((rounded.astype(object) - exact).astype(np.float64)).max() <= error
    keys = [bytes([row % 7]) for row in range(count)]
    found = coherence._measure_exactly(exact, weights)
    wanted = coherence._choose(found, weights, keys, sum(weights))
    shares = np.array(weights, np.float64) / sum(weights)
    measured = coherence._measure_roughly(rounded, error, shares)
    if measured is not None:
        assert max(abs(float(a) - b) for a, b in zip(found, measured[0].tolist(), strict=True)) <= measured[1]
    surely = coherence._find_surely(rounded, error, weights, sum(weights))
    assert surely is None or surely == wanted


def test_most_rounds_need_no_long_integers() -> None:
    generator = np.random.default_rng(1)
    sure = 0
    for _ in range(20):
        updates = make_honest(generator, 10).astype(np.int32)
        products = inner_products(tabulate(updates, [2**20 // 10] * 10, [65536] * 10, SIZE), SIZE)
        sure += coherence._find_surely(*products.get_rounded(), [2**20 // 10] * 10, 2**20 // 10 * 10) is not None
    assert sure == 20


@pytest.mark.parametrize(("scale", "is_small"), [(1_000, True), (1_500_000, True), (2**24, False)])
def test_products_of_many_rows_are_exact_by_either_way(scale: int, *, is_small: bool) -> None:
    """AGG-23: a library's product where float64 holds every sum, the loop over integers else."""
    generator = np.random.default_rng(1)
    updates = generator.integers(-scale, scale, (130, 3_000)).astype(np.int32)
    discounts = generator.integers(1, 65537, 130).tolist()
    products = inner_products(tabulate(updates, [8_000] * 130, discounts, 3_000), 3_000)
    discounted = (updates.astype(np.int64) * np.array(discounts)[:, None] + 32768) >> 16
    wanted = discounted.astype(object) @ discounted.astype(object).T
    order = sorted(range(130), key=lambda row: discounts[row] != 65536)
    assert (products.get_exact() == wanted[np.ix_(order, order)]).all()
    assert (products.get_rounded()[1] == 0) is is_small


def test_one_row_that_is_long_only_at_its_end_is_noticed() -> None:
    """AGG-23: 3 * (2^26 + 1)^2 is no float64."""
    updates = np.ones((130, 2_100), np.int32)
    updates[7, -3:] = 2**26 + 1
    products = inner_products(tabulate(updates, [8_000] * 130, [65536] * 130, 2_100), 2_100)
    assert products.get_exact()[7, 7] == 2_097 + 3 * (2**26 + 1) ** 2
    assert products.get_exact()[7, 8] == 2_097 + 3 * (2**26 + 1)
