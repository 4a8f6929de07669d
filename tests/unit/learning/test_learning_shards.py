"""Shards: every example goes to exactly one party, nobody goes without, one seed gives one division."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from flobc.errors import UsageError
from flobc.learning.shards import ShardScheme, assign_indices, parse_scheme, split_examples
from flobc.learning.task import Examples

SCHEMES = [
    "iid",
    "dirichlet:0.01",
    "dirichlet:0.5",
    "dirichlet:100",
    "quantity:0.05",
    "quantity:5",
    "label:1",
    "label:3",
]


@given(
    labels=st.lists(st.integers(0, 5), min_size=1, max_size=120).map(np.array),
    parties=st.integers(1, 20),
    text=st.sampled_from(SCHEMES),
    seed=st.integers(0, 2**32),
)
def test_shards_partition_the_examples(labels, parties, text, seed):
    scheme = parse_scheme(text)
    assume(parties <= len(labels))
    assume(scheme.name != "label" or parties * scheme.parameter >= len(np.unique(labels)))
    shards = assign_indices(labels, parties, scheme, seed)
    assert len(shards) == parties
    assert all(len(shard) for shard in shards)
    assert np.array_equal(np.sort(np.concatenate(shards)), np.arange(len(labels)))
    again = assign_indices(labels, parties, scheme, seed)
    assert all(np.array_equal(one, other) for one, other in zip(shards, again, strict=True))


@given(parties=st.integers(1, 30), per_party=st.integers(1, 10), seed=st.integers(0, 999))
def test_a_party_holds_no_more_labels_than_asked(parties, per_party, seed):
    labels = np.repeat(np.arange(10), 400)
    assume(parties * per_party >= 10)
    shards = assign_indices(labels, parties, ShardScheme("label", per_party), seed)
    assert all(len(np.unique(labels[shard])) <= per_party for shard in shards)


@given(parties=st.integers(1, 50), count=st.integers(50, 200))
def test_iid_sizes_differ_by_at_most_one(parties, count):
    sizes = [len(shard) for shard in assign_indices(np.zeros(count), parties, ShardScheme("iid"), 0)]
    assert max(sizes) - min(sizes) <= 1


def skew(scheme):
    """Return how far the parties' label shares lie from those of the whole, on average."""
    labels = np.repeat(np.arange(10), 200)
    shards = assign_indices(labels, 10, parse_scheme(scheme), 1)
    return np.mean([np.abs(np.bincount(labels[part], minlength=10) / len(part) - 0.1).sum() for part in shards])


def test_alpha_orders_the_skew():
    assert skew("iid") < skew("dirichlet:1") < skew("dirichlet:0.1")
    assert skew("quantity:0.5") < skew("dirichlet:0.5")


def test_quantity_makes_sizes_unequal():
    sizes = [len(part) for part in assign_indices(np.zeros(1000), 10, parse_scheme("quantity:0.3"), 1)]
    assert max(sizes) > 4 * np.median(sizes)


def test_different_seeds_give_validators_different_shards():
    examples = Examples(np.arange(40), np.arange(40) % 4)
    one, other = (split_examples(examples, 4, ShardScheme("iid"), seed)[0] for seed in (1, 2))
    assert one.digest() != other.digest()


@pytest.mark.parametrize("text", SCHEMES)
def test_schemes_round_trip_as_text(text):
    assert str(parse_scheme(text)) == text


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("dirichlt:0.5", "did you mean 'dirichlet'"),
        ("uniform", "iid, shared, dirichlet, label, quantity"),
        ("iid:2", "takes no parameter"),
        ("dirichlet", "a number above 0"),
        ("dirichlet:zero", "a number above 0"),
        ("dirichlet:0", "a number above 0"),
        ("dirichlet:nan", "a number above 0"),
        ("quantity:inf", "a number above 0"),
        ("label:1.5", "a whole number of labels"),
    ],
)
def test_invalid_schemes(text, message):
    with pytest.raises(UsageError, match=message):
        parse_scheme(text)


def test_invalid_more_parties_than_examples():
    with pytest.raises(UsageError, match="3 examples among 4 parties"):
        assign_indices(np.zeros(3), 4, ShardScheme("iid"), 0)


def test_invalid_labels_that_no_party_may_hold():
    with pytest.raises(UsageError, match="room for 4 of the 10 labels; use label:5"):
        assign_indices(np.arange(100) % 10, 2, ShardScheme("label", 2), 0)


def test_shared_gives_everybody_everything():
    labels = np.arange(20) % 4
    shards = assign_indices(labels, 3, parse_scheme("shared"), seed=1)
    assert [list(shard) for shard in shards] == [list(range(20))] * 3
    assert str(parse_scheme("shared")) == "shared"
