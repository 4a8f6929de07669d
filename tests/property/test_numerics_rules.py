import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flobc.numerics.aggregate import apply_weighted_mean
from flobc.numerics.distances import squared_distances
from flobc.numerics.fixed_point import Grid, Segment, norm
from flobc.numerics.rows import tabulate
from flobc.numerics.rules import CLIPPED_MEAN, RULE_NAMES, RuleSpec, apply_rule, minimum_updates
from tests.support import aggregation_reference as reference

LIMIT = 2**30 - 1
INT32_MIN, INT32_MAX = -(2**31), 2**31 - 1

# Narrow values make ties likely, wide ones reach every edge of the number formats.
coordinates = st.one_of(
    st.integers(-3, 3), st.integers(-(2**20), 2**20), st.integers(-LIMIT, LIMIT), st.sampled_from([-LIMIT, LIMIT])
)


def shares(draw, count, equal):
    if equal:
        return [draw(st.integers(1, 2**20 // count))] * count
    raw = [draw(st.integers(0, 1000)) for _ in range(count)]
    total = max(sum(raw), 1)
    return [2**20 * value // total for value in raw]


@st.composite
def rounds(draw, least=1, most=9):
    """(model, updates, weights, discounts, keys, grid), all in Python integers but the grid."""
    count, size = draw(st.integers(least, most)), draw(st.integers(1, 5))
    split = draw(st.integers(1, size))
    low = draw(st.integers(-(2**24), 0))
    segments = [Segment(0, split, 24)]
    if split < size:
        segments.append(Segment(split, size, draw(st.integers(0, 30)), low, low + 2**24))
    vector = st.lists(coordinates, min_size=size, max_size=size)
    model = draw(st.lists(st.integers(INT32_MIN, INT32_MAX), min_size=size, max_size=size))
    updates = draw(st.lists(vector, min_size=count, max_size=count))
    discounts = draw(st.lists(st.sampled_from([65536, 65536, 0, 1, 32768, 65535]), min_size=count, max_size=count))
    weights = shares(draw, count, draw(st.booleans()))
    return model, updates, weights, discounts, [bytes([i]) for i in range(count)], Grid(tuple(segments))


def as_array(values):
    return np.array(values, dtype=np.int32)


def run(rule, given_round, order=None):
    model, updates, weights, discounts, keys, grid = given_round
    order = range(len(updates)) if order is None else order
    return apply_rule(
        rule,
        as_array(model),
        [as_array(updates[i]) for i in order],
        weights=[weights[i] for i in order],
        discounts=[discounts[i] for i in order],
        keys=[keys[i] for i in order],
        grid=grid,
    )


def expected_model(given_round, step_of):
    model, updates, weights, discounts, _, grid = given_round
    taking = [i for i, weight in enumerate(weights) if weight > 0]
    seen = [reference.discounted(updates[i], discounts[i]) for i in taking]
    result = []
    for segment in grid.segments:
        for at in range(segment.start, segment.stop):
            step = step_of([update[at] for update in seen], [weights[i] for i in taking]) if taking else 0
            result += reference.add([model[at]], [step], segment.lo, segment.hi)
    return result


@given(rounds())
def test_weighted_mean_is_the_definition(given_round):
    """AGG-6, AGG-20."""
    model, updates, weights, discounts, _, grid = given_round
    result = apply_weighted_mean(as_array(model), [as_array(u) for u in updates], weights, discounts, grid)
    assert result.tolist() == expected_model(given_round, reference.mean_step)
    matrix = apply_weighted_mean(as_array(model), as_array(updates), weights, discounts, grid)
    assert matrix.tobytes() == result.tobytes()


@given(rounds(least=3))
def test_median_is_the_definition(given_round):
    """AGG-21."""
    result = run(RuleSpec("median"), given_round)
    if result.rule_used == "median":
        assert result.model.tolist() == expected_model(given_round, reference.median_step)


@given(rounds(least=3), st.integers(0, 499_999))
def test_trimmed_mean_is_the_definition(given_round, trim_ppm):
    """AGG-22."""
    result = run(RuleSpec("trimmed_mean", trim_ppm=trim_ppm), given_round)
    if result.rule_used == "trimmed_mean":
        expected = expected_model(given_round, lambda c, w: reference.trimmed_step(c, w, trim_ppm))
        assert result.model.tolist() == expected


@given(rounds(least=3, most=9))
def test_distances_are_exact(given_round):
    """AGG-23: also where products pass 2^53 and sums pass 2^63."""
    _, updates, _, discounts, _, grid = given_round
    rows = tabulate([as_array(u) for u in updates], [1] * len(updates), discounts, grid.size)
    seen = [reference.discounted(updates[at], discounts[at]) for at in rows.positions]
    expected = [[reference.distance(a, b) for b in seen] for a in seen]
    assert squared_distances(rows, grid.size) == expected


@given(rounds(least=3), st.integers(0, 2), st.integers(0, 4))
def test_krum_selects_by_the_definition(given_round, byzantine, selected):
    """AGG-7, AGG-24."""
    _, updates, weights, discounts, keys, _ = given_round
    rule = RuleSpec("multi_krum", byzantine=byzantine, selected=selected)
    result = run(rule, given_round)
    taking = [i for i, weight in enumerate(weights) if weight > 0]
    if len(taking) < minimum_updates(rule):
        assert result.rule_used == CLIPPED_MEAN
        return
    seen = [reference.discounted(updates[i], discounts[i]) for i in taking]
    order = reference.krum_order(seen, [weights[i] for i in taking], [keys[i] for i in taking], byzantine)
    chosen = order[: selected or len(taking) - byzantine]
    assert result.selected == tuple(sorted(taking[i] for i in chosen))


@pytest.mark.parametrize(
    ("name", "shares_of"),
    [
        ("geometric_median", reference.geometric_median_shares),
        ("centered_clipping", reference.centered_clipping_shares),
    ],
)
@given(given_round=rounds(least=3))
def test_centers_are_the_definition(name, shares_of, given_round):
    """AGG-27, AGG-28: from inner products as from the vectors themselves."""
    _, updates, weights, discounts, _, _ = given_round
    result = run(RuleSpec(name), given_round)
    if result.rule_used != name:
        return
    taking = [i for i, weight in enumerate(weights) if weight > 0]
    kept = [weights[i] for i in taking]
    shares = shares_of([reference.discounted(updates[i], discounts[i]) for i in taking], kept)
    assert all(share >= 0 for share in shares)
    assert sum(shares) <= 2**20
    mine = [share * sum(kept) // 2**20 for share in shares]
    assert result.model.tolist() == expected_model(given_round, lambda column, _: reference.mean_step(column, mine))


@given(rounds(least=5, most=9))
def test_coherence_is_the_definition(given_round):
    """AGG-30: from inner products as from the vectors themselves."""
    _, updates, weights, discounts, keys, _ = given_round
    result = run(RuleSpec("coherence_filter"), given_round)
    taking = [i for i, weight in enumerate(weights) if weight > 0]
    seen = [reference.discounted(updates[i], discounts[i]) for i in taking]
    kept = reference.incoherent_rows(seen, [weights[i] for i in taking], [keys[i] for i in taking])
    assert result.selected == tuple(taking[i] for i in kept)
    mass, left = sum(weights), sum(weights[taking[i]] for i in kept)
    mine = [weights[i] * mass // left if i in result.selected else 0 for i in taking]
    assert result.model.tolist() == expected_model(given_round, lambda column, _: reference.mean_step(column, mine))


@pytest.mark.parametrize("name", RULE_NAMES)
@given(given_round=rounds(), data=st.data())
def test_order_does_not_matter(name, given_round, data):
    """AGG-9: any permutation gives the same bytes and the same selection."""
    order = data.draw(st.permutations(range(len(given_round[1]))))
    rule = RuleSpec(name, trim_ppm=200_000, byzantine=1, selected=2)
    first, second = run(rule, given_round), run(rule, given_round, order)
    assert first.model.tobytes() == second.model.tobytes()
    assert first.selected == tuple(sorted(order[at] for at in second.selected))
    assert first.rule_used == second.rule_used


@pytest.mark.parametrize("name", RULE_NAMES)
@given(given_round=rounds(), extra=st.lists(coordinates, min_size=5, max_size=5))
def test_weight_zero_takes_no_part(name, given_round, extra):
    """AGG-7: an update that weighs nothing changes nothing, whatever it holds."""
    model, updates, weights, discounts, keys, grid = given_round
    more = (model, [*updates, extra[: len(model)]], [*weights, 0], [*discounts, 65536], [*keys, b"x"], grid)
    rule = RuleSpec(name, trim_ppm=200_000)
    assert run(rule, given_round).model.tobytes() == run(rule, more).model.tobytes()


@given(rounds(most=2))
def test_fallback_clips_to_the_lower_median_norm(given_round):
    """AGG-25, AGG-26."""
    _, updates, weights, discounts, _, grid = given_round
    result = run(RuleSpec("median"), given_round)
    assert result.rule_used == CLIPPED_MEAN
    taking = [i for i, weight in enumerate(weights) if weight > 0]
    lengths = {i: reference.norm(updates[i]) * discounts[i] for i in taking}
    if not taking:
        return
    bound = sorted(lengths.values())[(len(taking) - 1) // 2]
    clipped = [
        bound // reference.norm(updates[i]) if lengths.get(i, 0) > bound else discounts[i] for i in range(len(updates))
    ]
    assert result.model.tolist() == expected_model(
        (given_round[0], updates, weights, clipped, None, grid), reference.mean_step
    )


@settings(max_examples=30)
@given(st.lists(coordinates, min_size=1, max_size=40))
def test_norm_is_the_floor_of_the_root(update):
    """AGG-8."""
    assert norm(as_array(update)) == reference.norm(update)
