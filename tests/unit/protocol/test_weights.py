from dataclasses import replace
from fractions import Fraction
from math import floor, isqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.errors import UsageError
from flobc.protocol.trust.weights import (
    WEIGHT_ONE,
    Standing,
    WeightParams,
    compute_weights,
    validate_weight_params,
)

DEFAULT = WeightParams()
PROTOTYPE = WeightParams(min_mass_ppm=1_000_000, max_share_ppm=1_000_000)

params_strategy = st.builds(
    WeightParams,
    alpha_halves=st.integers(0, 2),
    max_examples=st.integers(1, 10_000),
    min_mass_ppm=st.integers(0, 1_000_000),
    max_share_ppm=st.integers(1, 1_000_000),
)
standings = st.builds(Standing, st.integers(0, 10**9), st.integers(0, 20_000))
active_strategy = st.lists(standings, max_size=8)


@st.composite
def rounds(draw):
    """Active trainers, some of which submitted, and submitters that are not active."""
    active = draw(active_strategy)
    submitting = draw(st.lists(st.sampled_from(active), max_size=8)) if active else []
    submitting += draw(st.lists(standings, max_size=3))
    return submitting, active


def submit(*trusts, examples=1):
    return [Standing(trust, examples) for trust in trusts]


@pytest.mark.parametrize(
    "wrong",
    [
        {"alpha_halves": 3},
        {"alpha_halves": 0.5},
        {"max_examples": 0},
        {"min_mass_ppm": 1_000_001},
        {"max_share_ppm": 0},
    ],
)
def test_invalid_params(wrong):
    """AGG-W1."""
    with pytest.raises(UsageError, match=rf"weights\.{next(iter(wrong))} .*found"):
        validate_weight_params(replace(DEFAULT, **wrong))


def test_default_params_are_valid():
    """AGG-W1."""
    validate_weight_params(DEFAULT)
    validate_weight_params(PROTOTYPE)


@given(params_strategy, rounds())
def test_weights_follow_the_formula(params, given_round):
    """AGG-W2 to AGG-W5 and AGG-W8, computed once more with fractions."""
    submitters, active = given_round

    def mass(trust, examples):
        e = min(examples, params.max_examples)
        return trust * [1, Fraction(isqrt(e * 2**40), 2**20), e][params.alpha_halves]

    masses = [mass(*standing) for standing in submitters]
    least = Fraction(params.min_mass_ppm, 10**6) * sum(mass(*standing) for standing in active)
    denominator = max(sum(masses), least)
    limit = max(Fraction(params.max_share_ppm, 10**6), Fraction(1, max(len(active), 1)))
    expected = [floor(WEIGHT_ONE * min(Fraction(m) / denominator, limit)) if denominator else 0 for m in masses]
    assert list(compute_weights(params, submitters, active)) == expected


@given(params_strategy, rounds())
def test_weights_sum_to_at_most_one(params, given_round):
    """AGG-W5: what keeps the aggregation's accumulators inside 64 bits."""
    weights = compute_weights(params, *given_round)
    assert all(weight >= 0 for weight in weights)
    assert sum(weights) <= WEIGHT_ONE


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=8), st.data())
def test_prototype_is_not_renormalised(trusts, data):
    """AGG-W7: an absent trainer's share is lost."""
    submitting = data.draw(st.lists(st.integers(0, len(trusts) - 1), unique=True))
    submitters = [s for i, s in enumerate(submit(*trusts)) if i in submitting]
    weights = compute_weights(PROTOTYPE, submitters, submit(*trusts))
    total = sum(trusts)
    assert list(weights) == [WEIGHT_ONE * s.trust // total if total else 0 for s in submitters]


def test_lone_submitter_does_not_get_everything():
    """AGG-W3, AGG-W4: one of four equal trainers, then one newcomer among established ones."""
    active = submit(*[1_000_000] * 4)
    assert compute_weights(DEFAULT, submit(1_000_000), active) == (WEIGHT_ONE // 2,)
    assert compute_weights(DEFAULT, submit(100_000), active) == (WEIGHT_ONE // 20,)


def test_one_active_trainer_gets_everything():
    """AGG-W4: 1 / active wins over max_share; and so with no active trainer at all."""
    assert compute_weights(DEFAULT, submit(7), submit(7)) == (WEIGHT_ONE,)
    assert compute_weights(DEFAULT, submit(7), []) == (WEIGHT_ONE,)


def test_claimed_examples():
    """AGG-W2: ignored, by their square root, in proportion, and never above the bound."""
    submitters = [Standing(10, 4), Standing(10, 1)]
    weights = [compute_weights(WeightParams(alpha_halves=a, max_share_ppm=1_000_000), submitters, []) for a in range(3)]
    assert weights == [
        (WEIGHT_ONE // 2, WEIGHT_ONE // 2),
        (WEIGHT_ONE * 2 // 3, WEIGHT_ONE // 3),
        (WEIGHT_ONE * 4 // 5, WEIGHT_ONE // 5),
    ]
    bounded = WeightParams(alpha_halves=2, max_examples=2, max_share_ppm=1_000_000)
    assert compute_weights(bounded, submitters, []) == (WEIGHT_ONE * 2 // 3, WEIGHT_ONE // 3)


def test_square_root_is_fine_enough():
    """AGG-W2: whole-number roots would give 2 and 3 examples the same weight."""
    submitters = [Standing(1, 2), Standing(1, 3)]
    two, three = compute_weights(WeightParams(alpha_halves=1), submitters, [])
    assert two < WEIGHT_ONE // 2 - 1000 < three


def test_nobody_has_any_mass():
    """AGG-W8."""
    assert compute_weights(DEFAULT, submit(0, 0), submit(0)) == (0, 0)
    assert compute_weights(DEFAULT, [], []) == ()
