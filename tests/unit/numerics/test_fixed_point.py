import math

import numpy as np
import pytest

from flobc.errors import LocalProtocolError, PayloadFault
from flobc.numerics.fixed_point import Grid, Segment, norm, sum_squares

LIMIT = 2**30


@pytest.mark.parametrize(
    "segments",
    [
        (Segment(1, 2, 24),),
        (Segment(0, 2, 24), Segment(3, 4, 24)),
        (Segment(0, 2, 24), Segment(1, 4, 24)),
        (Segment(0, 0, 24),),
        (Segment(0, 2, 31),),
        (Segment(0, 2, -1),),
        (Segment(0, 2, 24, 5, 4),),
        (Segment(0, 2, 24, 0, 2**31),),
    ],
)
def test_invalid_segments(segments):
    """AGG-1."""
    with pytest.raises(LocalProtocolError, match="AGG-1"):
        Grid(segments)


def test_ties_go_to_even():
    """AGG-3."""
    delta = np.array([0.5, 1.5, 2.5, -0.5, -1.5, -2.5], np.float32)
    assert Grid.uniform(6, 0).quantise_update(delta).tolist() == [0, 2, 2, 0, -2, -2]


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (np.nan, "non_finite"),
        (np.inf, "non_finite"),
        (-np.inf, "non_finite"),
        (64.0, "out_of_range"),
        (-64.0, "out_of_range"),
        (3e38, "out_of_range"),
    ],
)
def test_invalid_update_values(value, code):
    """AGG-3: refused before any cast; the fault names the coordinate."""
    delta = np.zeros(70_000, np.float32)
    delta[69_999] = value
    with pytest.raises(PayloadFault, match="coordinate 69999") as fault:
        Grid.uniform(70_000).quantise_update(delta)
    assert fault.value.code == code


def test_largest_update_values():
    """AGG-2."""
    edge = np.nextafter(np.float32(64), np.float32(0))
    values = Grid.uniform(2).quantise_update(np.array([edge, -edge], np.float32))
    assert values.tolist() == [LIMIT - 64, 64 - LIMIT]


@pytest.mark.parametrize("value", [np.nan, np.inf, 128.0, -129.0, 1e300])
def test_invalid_model_values(value):
    """AGG-3."""
    with pytest.raises(LocalProtocolError, match="coordinate 1"):
        Grid.uniform(2).quantise_model(np.array([0.0, value]))


def test_model_must_respect_buffer_bounds():
    """AGG-3."""
    grid = Grid((Segment(0, 1, 24), Segment(1, 2, 24, 0, 2**24)))
    assert grid.quantise_model(np.array([-1.0, 1.0])).tolist() == [-(2**24), 2**24]
    with pytest.raises(LocalProtocolError, match=r"\[0, 1\]"):
        grid.quantise_model(np.array([-1.0, -0.5]))


def test_candidate_saturates_and_clamps():
    """AGG-4."""
    grid = Grid((Segment(0, 2, 24), Segment(2, 4, 0, -10, 10)))
    model = np.array([2**31 - 1, -(2**31), 9, -9], np.int32)
    update = np.array([5, -5, 5, -5], np.int32)
    assert grid.candidate(model, update).tolist() == [128.0, -128.0, 10.0, -10.0]


def test_views_round_to_the_nearest_float():
    """AGG-4: 2^24 + 1 has no float32; ties go to even."""
    model = np.array([2**24 + 1, 2**24 + 3, -(2**24) - 1], np.int32)
    assert Grid.uniform(3, 0).to_float(model).tolist() == [2**24, 2**24 + 4, -(2**24)]


def test_views_are_written_where_asked():
    out = np.empty(2, np.float32)
    assert Grid.uniform(2, 1).to_float(np.array([1, 2], np.int32), out) is out
    assert out.tolist() == [0.5, 1.0]


def test_large_views_agree_with_numpy():
    generator = np.random.default_rng(1)
    size = 200_001
    model = generator.integers(-(2**31), 2**31, size).astype(np.int32)
    update = generator.integers(1 - LIMIT, LIMIT, size).astype(np.int32)
    total = np.clip(model.astype(np.int64) + update, -(2**31), 2**31 - 1).astype(np.int32)
    assert np.array_equal(Grid.uniform(size).candidate(model, update), total.astype(np.float32) * np.float32(2**-24))


def test_norm_of_the_largest_update():
    """AGG-8: the sum of squares is far above 2^64."""
    update = np.full(100_000, 1 - LIMIT, np.int32)
    assert sum_squares(update) == 100_000 * (LIMIT - 1) ** 2
    assert norm(update) == math.isqrt(100_000 * (LIMIT - 1) ** 2)


@pytest.mark.parametrize(
    "model", [np.zeros(3, np.int32), np.zeros(4, np.int64), np.zeros(8, np.int32)[::2], np.zeros((2, 2), np.int32)]
)
def test_invalid_arrays(model):
    with pytest.raises(LocalProtocolError, match=r"expected model as contiguous int32\[4\]"):
        Grid.uniform(4).to_float(model)


def test_slices_keep_the_bounds():
    grid = Grid((Segment(0, 5, 24), Segment(5, 9, 3, -1, 1)))
    assert grid.slice(3, 7) == Grid((Segment(0, 2, 24), Segment(2, 4, 3, -1, 1)))
