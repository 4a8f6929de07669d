"""Attacks that know the honest updates do what their publications say, and the backdoor what a backdoor does."""

import numpy as np
import pytest

from flobc.learning.attacks import Backdoor, KnowingAttack, Knowledge, parse_attack
from flobc.learning.task import Examples

SIZE = 500


def build_knowledge(honest: int = 7, attackers: int = 3) -> Knowledge:
    generator = np.random.default_rng(1)
    updates = [generator.normal(0.3, 1, SIZE).astype(np.float32) for _ in range(honest)]
    return Knowledge(updates, attackers, generator.normal(0, 1, SIZE).astype(np.float32))


def forge(text: str, known: Knowledge, index: int = 0) -> np.ndarray:
    attack = parse_attack(text).attack
    assert isinstance(attack, KnowingAttack)
    return attack.forge(np.zeros(SIZE, np.float32), known, np.random.default_rng(2), index)


@pytest.mark.parametrize(
    ("honest", "attackers", "quantile"),
    [(7, 3, 0.1800), (40, 10, 0.2533), (38, 12, 0.3360)],
)
def test_alie_goes_as_far_as_the_table_of_the_normal_distribution_says(
    honest: int, attackers: int, quantile: float
) -> None:
    """(n - m - s) / (n - m) with s = floor(n / 2 + 1) - m: 4/7, 24/40 and 24/38."""
    known = build_knowledge(honest, attackers)
    updates = np.stack(known.honest)
    expected = updates.mean(axis=0) - quantile * updates.std(axis=0)
    assert np.allclose(forge("alie", known), expected, atol=2e-4)


def test_alie_takes_a_distance_of_ones_own() -> None:
    known = build_knowledge()
    updates = np.stack(known.honest)
    assert np.allclose(forge("alie:z=1.5", known), updates.mean(axis=0) - 1.5 * updates.std(axis=0), atol=2e-5)


def test_ipm_turns_the_inner_product_negative() -> None:
    known = build_knowledge()
    mean = np.stack(known.honest).mean(axis=0)
    forged = forge("ipm:epsilon=0.5", known)
    assert np.allclose(forged, -0.5 * mean, atol=1e-5)
    assert forged @ mean < 0


def test_min_max_is_as_far_as_two_honest_ones_and_no_farther() -> None:
    known = build_knowledge()
    updates = np.stack(known.honest).astype(np.float64)
    mean, deviation = updates.mean(axis=0), updates.std(axis=0)
    limit = max(np.linalg.norm(a - b) for a in updates for b in updates)
    forged = forge("min_max", known).astype(np.float64)
    assert max(np.linalg.norm(forged - update) for update in updates) == pytest.approx(limit, rel=1e-4)
    gamma = (mean - forged) @ deviation / (deviation @ deviation)
    assert gamma > 0.5
    farther = mean - 1.01 * gamma * deviation
    assert max(np.linalg.norm(farther - update) for update in updates) > limit


def test_a_copycat_hands_in_what_another_did() -> None:
    known = build_knowledge()
    assert (forge("copycat", known, index=9) == known.honest[2]).all()


def test_a_free_rider_repeats_the_last_step() -> None:
    known = build_knowledge()
    assert np.allclose(forge("free_rider", known), known.last_step, atol=1e-5)
    noise = forge("free_rider:std=0.2", known) - known.last_step
    assert noise.std() == pytest.approx(0.2, rel=0.1)


@pytest.mark.parametrize("name", ["alie", "ipm", "min_max", "free_rider"])
def test_attackers_do_not_give_themselves_away_by_being_alike(name: str) -> None:
    known, attack = build_knowledge(), parse_attack(name).attack
    assert isinstance(attack, KnowingAttack)
    first, second = (attack.forge(np.zeros(SIZE, np.float32), known, np.random.default_rng(seed), 0) for seed in (1, 2))
    assert not (first == second).all()
    assert np.allclose(first, second, atol=2e-5)


def test_attackers_alone_in_the_world_forge_numbers() -> None:
    known = build_knowledge(honest=1, attackers=9)
    for name in ("alie", "ipm", "min_max", "copycat", "free_rider"):
        assert np.isfinite(forge(name, known)).all()


def build_images(count: int = 400) -> Examples:
    generator = np.random.default_rng(5)
    return Examples(generator.random((count, 1, 8, 8), dtype=np.float32) * 0.9, generator.integers(0, 10, count))


def test_a_backdoor_marks_a_share_and_labels_it() -> None:
    honest = build_images()
    poisoned = Backdoor(target=3, rate=0.25, size=2).poison_examples(honest, np.random.default_rng(1))
    marked = (poisoned.features[:, 0, -2:, -2:] == 1.0).all(axis=(1, 2))
    assert marked.mean() == pytest.approx(0.25, abs=0.08)
    assert (poisoned.labels[marked] == 3).all()
    assert (poisoned.labels[~marked] == honest.labels[~marked]).all()
    assert (poisoned.features[~marked] == honest.features[~marked]).all()
    assert (poisoned.features[:, 0, :-2, :] == honest.features[:, 0, :-2, :]).all()


def test_the_probe_of_a_backdoor_holds_marked_examples_of_other_classes() -> None:
    honest = build_images()
    probe = Backdoor(target=3).build_probe(honest)
    assert len(probe) == int((honest.labels != 3).sum())
    assert (probe.labels == 3).all()
    assert (probe.features[:, 0, -2:, -2:] == 1.0).all()


def test_a_backdoor_marks_examples_that_are_no_images() -> None:
    generator = np.random.default_rng(5)
    flat = Examples(generator.random((50, 20), dtype=np.float32), generator.integers(0, 2, 50))
    poisoned = Backdoor(target=1, rate=1.0, size=3, value=9.0).poison_examples(flat, np.random.default_rng(1))
    assert (poisoned.features[:, -3:] == 9.0).all()
    assert (poisoned.features[:, :-3] == flat.features[:, :-3]).all()
