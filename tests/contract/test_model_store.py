"""ModelStore: int32 vectors by digest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from flobc.ports.models import ModelStore
from tests.contract.conftest import Adapter
from tests.support.dialogue import digest


def build_model(number: int, size: int = 100) -> NDArray[np.int32]:
    return np.random.default_rng(number).integers(-(2**31), 2**31, size, dtype=np.int32)


@pytest.fixture
def store(adapter: Adapter) -> ModelStore:
    return adapter.models()


def test_holds_nothing_at_first(store: ModelStore) -> None:
    assert store.get(digest("model")) is None


@pytest.mark.parametrize("size", [1, 100, 100_000])
def test_returns_what_was_put(adapter: Adapter, store: ModelStore, size: int) -> None:
    model = build_model(1, size)
    store.put(digest(1), model)
    for found in (store.get(digest(1)), adapter.models().get(digest(1))):
        assert found is not None
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, model)


def test_a_strided_view_is_kept_by_its_values(store: ModelStore) -> None:
    model = build_model(2)[::3]
    store.put(digest(2), model)
    np.testing.assert_array_equal(store.get(digest(2)), model)  # type: ignore[arg-type]


def test_keeps_only_what_is_wanted(adapter: Adapter, store: ModelStore) -> None:
    for number in range(4):
        store.put(digest(number), build_model(number))
    store.keep_only(frozenset([digest(1), digest(3), digest("never held")]))
    for held in (store, adapter.models()):
        assert [held.get(digest(number)) is not None for number in range(4)] == [False, True, False, True]


def test_a_forgotten_model_can_be_put_again(store: ModelStore) -> None:
    store.put(digest(0), build_model(0))
    store.keep_only(frozenset())
    assert store.get(digest(0)) is None
    store.put(digest(0), build_model(0))
    np.testing.assert_array_equal(store.get(digest(0)), build_model(0))  # type: ignore[arg-type]


def test_two_writers_of_one_model_leave_it_whole(store: ModelStore) -> None:
    model = build_model(5, 50_000)
    with ThreadPoolExecutor(8) as executor:
        list(executor.map(lambda _: store.put(digest(5), model), range(64)))
    np.testing.assert_array_equal(store.get(digest(5)), model)  # type: ignore[arg-type]
