"""Attacks do what their formulas say, and their text form is read strictly."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.errors import UsageError
from flobc.learning.attacks import ATTACKS, Attack, AttackSpec, LabelFlip, NoiseStep, parse_attack
from flobc.learning.task import Examples


def poison(text, delta, index=1, seed=0):
    attack = parse_attack(text).attack
    return attack.poison_update(delta, np.random.default_rng(seed), index)


DELTA = np.linspace(-1, 1, 200_000, dtype=np.float32)


def test_gaussian_noise_has_the_asked_moments():
    noise = poison("gaussian:std=0.25", DELTA) - DELTA
    assert abs(noise.mean()) < 0.003
    assert noise.std() == pytest.approx(0.25, rel=0.02)


@pytest.mark.parametrize("index", [0, 1, 3])
def test_noise_step_is_the_published_demos_noise(index):
    """Source: n = 2 s (mean of 7 uniforms - 1/2), s = step * index, so sigma = s / sqrt(21), bounded by s."""
    scale = 0.1 * index
    noise = poison("noise_step:step=0.1", np.zeros_like(DELTA), index)
    assert abs(noise.mean()) < 0.001
    assert noise.std() == pytest.approx(scale / np.sqrt(21), rel=0.02, abs=1e-9)
    assert np.abs(noise).max() <= scale


def test_step_of_a_quarter_is_the_papers_noise_per_index():
    """Source: the replica's k = 0.0545 per trainer number."""
    noise = NoiseStep(0.25).poison_update(np.zeros_like(DELTA), np.random.default_rng(1), 1)
    assert noise.std() == pytest.approx(0.0545, rel=0.02)


def test_deterministic_attacks():
    assert np.array_equal(poison("sign_flip", DELTA), -DELTA)
    assert np.array_equal(poison("sign_flip:factor=2", DELTA), -2 * DELTA)
    assert np.array_equal(poison("scaling:factor=8", DELTA), 8 * DELTA)
    assert np.isnan(poison("nan", DELTA)).all()
    assert not poison("zero", DELTA).any()
    assert np.isinf(poison("scaling:factor=1e38", 10 * np.ones(2, dtype=np.float32))).all()


@pytest.mark.parametrize("name", ATTACKS)
def test_attacks_are_seeded_keep_the_form_and_spare_their_input(name):
    before = DELTA.copy()
    first, second = poison(name, DELTA), poison(name, DELTA)
    assert first.dtype == np.float32
    assert first.shape == DELTA.shape
    assert first.tobytes() == second.tobytes()
    assert np.array_equal(DELTA, before)


def test_label_flip_mirrors_labels_and_leaves_the_update():
    examples = Examples(np.zeros((10, 2)), np.arange(10))
    attack = parse_attack("label_flip").attack
    flipped = attack.poison_examples(examples, np.random.default_rng(0))
    assert np.array_equal(flipped.labels, np.arange(10)[::-1])
    assert np.array_equal(examples.labels, np.arange(10))
    assert attack.poison_update(DELTA, np.random.default_rng(0), 1) is DELTA


def test_label_flip_of_a_share():
    examples = Examples(np.zeros(10_000), np.zeros(10_000, dtype=np.int64))
    flipped = LabelFlip(classes=2, rate=0.3).poison_examples(examples, np.random.default_rng(0))
    assert flipped.labels.mean() == pytest.approx(0.3, abs=0.02)


def test_invalid_label_beyond_the_classes():
    examples = Examples(np.zeros(3), np.array([0, 1, 4]))
    with pytest.raises(UsageError, match="classes=5 or more"):
        LabelFlip(classes=4).poison_examples(examples, np.random.default_rng(0))


def test_an_attack_without_effect_changes_nothing():
    examples = Examples(np.zeros(3), np.zeros(3))
    rng = np.random.default_rng(0)
    assert Attack().poison_examples(examples, rng) is examples
    assert Attack().poison_update(DELTA, rng, 0) is DELTA


@pytest.mark.parametrize("name", ATTACKS)
def test_specs_round_trip_as_text(name):
    spec = AttackSpec(ATTACKS[name](), 0.25)
    assert parse_attack(str(spec)) == spec


@given(fraction=st.floats(0.001, 1.0), trainers=st.integers(1, 100))
def test_at_least_one_and_at_most_all_attack(fraction, trainers):
    assert 1 <= AttackSpec(Attack(), fraction).count_attackers(trainers) <= trainers


def test_fractions():
    assert parse_attack("sign_flip@0.3").count_attackers(10) == 3
    assert parse_attack("sign_flip").fraction == 1.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("sign_flop@0.3", "did you mean 'sign_flip'"),
        ("", "Use one of gaussian"),
        ("gaussian:sd=0.1", "no option 'sd'; did you mean 'std'"),
        ("nan:std=1", "It has none"),
        ("gaussian:std", "std of the attack gaussian, but found ''"),
        ("gaussian:std=much", "but found 'much'"),
        ("gaussian:std=nan", "but found 'nan'"),
        ("gaussian:std=-1", "at least 0"),
        ("label_flip:classes=2.5", "but found '2.5'"),
        ("sign_flip@", "fraction of 'sign_flip@'"),
        ("sign_flip@0", "above 0 and at most 1"),
        ("sign_flip@1.5", "above 0 and at most 1"),
    ],
)
def test_invalid_attacks(text, message):
    with pytest.raises(UsageError, match=message):
        parse_attack(text)
