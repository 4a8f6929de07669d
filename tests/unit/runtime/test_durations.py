"""Virtual durations are drawn, never measured."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flobc.runtime.durations import Durations
from flobc.runtime.trainer_node import derive_seed

SEEDS = st.integers(0, 2**63 - 1)


@given(SEEDS, st.integers(1, 10**9), st.lists(st.text(max_size=5), max_size=3))
def test_a_duration_depends_on_seed_and_labels_and_stays_near_its_mean(
    seed: int, mean_ms: int, labels: list[str]
) -> None:
    drawn = Durations(seed).draw(mean_ms, *labels)
    assert drawn == Durations(seed).draw(mean_ms, *labels)
    assert max(1, mean_ms * 8 // 10) - 1 <= drawn <= mean_ms * 12 // 10 + 1


def test_durations_differ_between_nodes_and_rounds() -> None:
    durations = Durations(0)
    assert len({durations.draw(10**6, node, height) for node in range(10) for height in range(10)}) == 100


@given(SEEDS, st.text(max_size=5))
def test_derived_seeds_fit_every_generator(seed: int, label: str) -> None:
    derived = derive_seed(seed, label)
    assert 0 <= derived < 2**63
    assert derived == derive_seed(seed, label)
    assert derived != derive_seed(seed, label, 0)
