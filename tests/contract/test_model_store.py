"""ModelStore: int32 vectors by digest."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from numpy.typing import NDArray

from flobc.ports.models import ModelStore
from tests.contract.conftest import CHUNK_SIZE, LedgerAdapter, name_model
from tests.support.dialogue import digest


def build_model(number: int, size: int = 100) -> NDArray[np.int32]:
    return np.random.default_rng(number).integers(-(2**31), 2**31, size, dtype=np.int32)


def put(store: ModelStore, model: NDArray[np.int32]) -> bytes:
    name = name_model(model)
    store.put(name, model)
    return name


@pytest.fixture
def store(ledger_adapter: LedgerAdapter) -> ModelStore:
    return ledger_adapter.models()


def test_holds_nothing_at_first(store: ModelStore) -> None:
    assert store.get(digest("model")) is None


@pytest.mark.parametrize("size", [1, 100, CHUNK_SIZE, CHUNK_SIZE + 1, 400_000])
def test_returns_what_was_put(ledger_adapter: LedgerAdapter, store: ModelStore, size: int) -> None:
    model = build_model(1, size)
    name = put(store, model)
    for found in (store.get(name), ledger_adapter.models().get(name)):
        assert found is not None
        assert found.dtype == np.int32
        np.testing.assert_array_equal(found, model)


def test_a_strided_view_is_kept_by_its_values(store: ModelStore) -> None:
    model = build_model(2)[::3]
    np.testing.assert_array_equal(store.get(put(store, model)), model)  # type: ignore[arg-type]


def test_keeps_only_what_is_wanted(ledger_adapter: LedgerAdapter, store: ModelStore) -> None:
    names = [put(store, build_model(number)) for number in range(4)]
    store.keep_only(frozenset([names[1], names[3], digest("never held")]))
    for held in (store, ledger_adapter.models()):
        assert [held.get(name) is not None for name in names] == [False, True, False, True]


def test_a_forgotten_model_can_be_put_again(store: ModelStore) -> None:
    name = put(store, build_model(0))
    store.keep_only(frozenset())
    assert store.get(name) is None
    put(store, build_model(0))
    np.testing.assert_array_equal(store.get(name), build_model(0))  # type: ignore[arg-type]


def test_two_writers_of_one_model_leave_it_whole(store: ModelStore) -> None:
    model = build_model(5, 50_000)
    with ThreadPoolExecutor(8) as executor:
        names = set(executor.map(lambda _: put(store, model), range(64)))
    np.testing.assert_array_equal(store.get(names.pop()), model)  # type: ignore[arg-type]
