import numpy as np
import pytest

from flobc.errors import LocalProtocolError
from flobc.numerics import order_statistics, parallel
from flobc.numerics.fixed_point import Grid, Segment
from flobc.numerics.rows import tabulate
from flobc.numerics.rules import CLIPPED_MEAN, RULE_NAMES, RuleSpec, apply_rule, minimum_updates

FULL = 65536


def apply(rule, updates, weights=None, **options):
    size = len(updates[0])
    weights = weights or [2**20 // len(updates)] * len(updates)
    grid = options.pop("grid", Grid.uniform(size))
    return apply_rule(
        rule, np.zeros(size, np.int32), updates, weights=weights, discounts=[FULL] * len(updates), grid=grid, **options
    )


def vectors(*values):
    return [np.array([value], np.int32) for value in values]


def draw(count, size, scale=50_000, seed=0):
    generator = np.random.default_rng(seed)
    return [generator.normal(0, scale, size).astype(np.int32) for _ in range(count)]


@pytest.fixture
def set_threads():
    yield parallel.set_threads
    parallel.set_threads(parallel.available_cores())


@pytest.mark.parametrize("name", RULE_NAMES)
@pytest.mark.parametrize("scale", [50_000, 2**28])
@pytest.mark.parametrize("equal", [True, False])
def test_threads_change_no_bit(name, scale, equal, set_threads):
    """AGG-9, over several ranges and over segments that end inside them."""
    size = 150_001
    updates = [np.clip(u, 1 - 2**30, 2**30 - 1).astype(np.int32) for u in draw(7, size, scale)]
    grid = Grid((Segment(0, 70_001, 24), Segment(70_001, size, 20, -(2**20), 2**20)))
    weights = [149_796] * 7 if equal else [149_796 - 100 * i for i in range(7)]
    rule = RuleSpec(name, byzantine=2, selected=3)
    results = []
    for threads in (1, 2, 5):
        set_threads(threads)
        results.append(apply(rule, updates, weights, grid=grid).model.tobytes())
    assert len(set(results)) == 1


@pytest.mark.parametrize("trim_ppm", [0, 100_000, 250_000, 499_999])
def test_network_and_bisection_agree(monkeypatch, trim_ppm):
    """AGG-21, AGG-22: equal weights take another path to the same bytes."""
    size, grid = 700, Grid.uniform(700)
    rows = tabulate(draw(11, size), [90_001] * 11, [FULL] * 10 + [30_000], size)
    model = np.zeros(size, np.int32)

    def both():
        return (
            order_statistics.median_of_rows(model, rows, grid).tobytes(),
            order_statistics.trimmed_mean_of_rows(model, rows, grid, trim_ppm).tobytes(),
        )

    by_network = both()
    monkeypatch.setattr(order_statistics, "MAX_NETWORK_ROWS", 0)
    assert both() == by_network


@pytest.mark.parametrize("count", [1, 2, 3, 4, 5, 64, 65])
def test_median_of_many_sizes(count):
    """AGG-21: the lower one of two middles."""
    updates = draw(count, 130)
    expected = np.sort(np.stack(updates), axis=0)[(count - 1) // 2].astype(np.int64)
    rows = tabulate(updates, [2**20 // count] * count, [FULL] * count, 130)
    result = order_statistics.median_of_rows(np.zeros(130, np.int32), rows, Grid.uniform(130))
    assert result.tolist() == ((expected * rows.mass + 2**19) >> 20).tolist()


def test_heavy_update_is_the_median():
    """AGG-21: half of the weight decides."""
    assert apply(RuleSpec("median"), vectors(5, 700, 900), [2**19, 2**18, 2**18]).model.tolist() == [5]


def test_thin_round_makes_a_small_step():
    """AGG-21, AGG-24: rules other than the mean do not scale a thin round up."""
    for rule in (RuleSpec("median"), RuleSpec("trimmed_mean", trim_ppm=333_334), RuleSpec("krum", byzantine=0)):
        assert apply(rule, vectors(1000, 1000, 1000), [2**17] * 3).model.tolist() == [375]


def test_ties_fall_to_weight_then_key():
    """AGG-24."""
    updates = vectors(10, 10, 10)
    rule = RuleSpec("krum", byzantine=0)
    assert apply(rule, updates, [1000, 1001, 1000], keys=[b"a", b"b", b"c"]).selected == (1,)
    assert apply(rule, updates, [1000, 1000, 1000], keys=[b"c", b"b", b"a"]).selected == (2,)
    assert apply(rule, updates, [1000, 1000, 1000]).selected == (0,)


def test_krum_sees_through_tiny_updates():
    """AGG-23, AGG-24: what float32 distances between whole models cannot see.

    Honest updates have a standard deviation of 3e-6, attackers one of 6e-6, beside weights of 0.05:
    in float32 one unit in the last place of a weight is 3.7e-9, and ``|a|^2 + |b|^2 - 2ab`` of whole
    models drowns in rounding. The exact rule picks an honest update, the float32 one an attacker.
    """
    generator = np.random.default_rng(7)
    size, honest, liars = 20_000, 7, 3
    spread = [3e-6] * honest + [6e-6] * liars
    deltas = [generator.normal(0, s, size).astype(np.float32) for s in spread]
    grid = Grid.uniform(size)
    result = apply(RuleSpec("multi_krum", byzantine=liars, selected=honest), [grid.quantise_update(d) for d in deltas])
    assert result.selected == tuple(range(honest))

    base = generator.normal(0, 0.05, size).astype(np.float32)
    models = np.stack([base + delta for delta in deltas])
    products = models @ models.T
    norms = np.diagonal(products)
    distances = np.maximum(norms[:, None] + norms[None, :] - 2 * products, 0)
    scores = [np.sort(np.delete(row, i))[: len(deltas) - liars - 2].sum() for i, row in enumerate(distances)]
    assert sorted(np.argsort(scores, kind="stable")[:honest].tolist()) != list(range(honest))


def test_median_bears_attackers():
    honest = vectors(*[100 + i for i in range(5)])
    liars = vectors(2**30 - 1, 2**30 - 1, 1 - 2**30, 2**30 - 1)
    assert 95 <= apply(RuleSpec("median"), honest + liars).model[0] <= 105
    assert 95 <= apply(RuleSpec("trimmed_mean", trim_ppm=400_000), honest + liars).model[0] <= 105


@pytest.mark.parametrize(
    ("rule", "least"),
    [
        (RuleSpec("weighted_mean"), 0),
        (RuleSpec("median"), 3),
        (RuleSpec("trimmed_mean", trim_ppm=200_000), 5),
        (RuleSpec("trimmed_mean", trim_ppm=490_000), 3),
        (RuleSpec("trimmed_mean", trim_ppm=0), 1),
        (RuleSpec("krum", byzantine=2), 7),
        (RuleSpec("multi_krum", byzantine=2, selected=9), 11),
        (RuleSpec("geometric_median"), 3),
        (RuleSpec("centered_clipping"), 3),
        (RuleSpec("norm_clip"), 1),
        (RuleSpec("coherence_filter"), 0),
    ],
)
def test_minimum_updates(rule, least):
    """AGG-26: exactly from there on the rule itself is used."""
    assert minimum_updates(rule) == least
    for count in (least - 1, least):
        if count > 0:
            expected = rule.name if count >= least else CLIPPED_MEAN
            assert apply(rule, vectors(*range(count))).rule_used == expected


@pytest.mark.parametrize("name", RULE_NAMES)
def test_no_updates_leave_the_model(name):
    model = np.array([3, 4], np.int32)
    result = apply_rule(RuleSpec(name), model, [], weights=[], discounts=[], grid=Grid.uniform(2))
    assert (result.model.tolist(), result.selected) == ([3, 4], ())


def test_fallback_bounds_an_attacker():
    """AGG-26: an update five million times as long as the other one is cut to nothing."""
    result = apply(RuleSpec("median"), vectors(100, 2**29), [2**19, 2**19])
    assert (result.model.tolist(), result.rule_used) == ([50], CLIPPED_MEAN)
    result = apply(RuleSpec("median"), vectors(100, 800), [2**19, 2**19])
    assert result.model.tolist() == [100]


@pytest.mark.parametrize(
    ("weights", "discounts", "rule"),
    [
        ([2**20, 1], [FULL, FULL], "AGG-5"),
        ([-1, 1], [FULL, FULL], "AGG-5"),
        ([1], [FULL, FULL], "AGG-5"),
        ([1, 1], [FULL, FULL + 1], "AGG-6"),
        ([1, 1], [FULL, -1], "AGG-6"),
    ],
)
def test_invalid_weights(weights, discounts, rule):
    with pytest.raises(LocalProtocolError, match=rule):
        apply_rule(
            RuleSpec("median"),
            np.zeros(1, np.int32),
            vectors(1, 2),
            weights=weights,
            discounts=discounts,
            grid=Grid.uniform(1),
        )


@pytest.mark.parametrize(
    "parameters", [{"name": "mode"}, {"name": "trimmed_mean", "trim_ppm": 500_000}, {"name": "krum", "byzantine": -1}]
)
def test_invalid_rules(parameters):
    with pytest.raises(LocalProtocolError):
        RuleSpec(**parameters)


def test_memory_mapped_updates(tmp_path):
    """Updates may lie in a spool: nothing is copied into memory first."""
    np.stack(draw(5, 1000)).tofile(tmp_path / "spool")
    spool = np.memmap(tmp_path / "spool", np.int32, "r", shape=(5, 1000))
    assert apply(RuleSpec("median"), spool).model.tolist() == apply(RuleSpec("median"), draw(5, 1000)).model.tolist()
