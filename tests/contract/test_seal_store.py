"""SealStore: each validator's last seal (ROUND-15)."""

from __future__ import annotations

import pytest

from flobc.ports.seals import SealStore
from flobc.protocol.messages import Seal, sign
from tests.contract.conftest import Adapter
from tests.support.dialogue import digest, identity


def build_seal(validator: int, height: int) -> Seal:
    key = identity("validator", validator)
    return sign(Seal(bytes(32), key.public_key, height, digest("header", height)), key)


@pytest.fixture
def store(adapter: Adapter) -> SealStore:
    return adapter.seals()


def test_holds_nothing_at_first(store: SealStore) -> None:
    assert store.load(identity("validator", 0).public_key) is None


def test_a_saved_seal_is_found_after_a_crash(adapter: Adapter, store: SealStore) -> None:
    seal = build_seal(0, 1)
    store.save(seal)
    assert store.load(seal.validator) == seal
    assert adapter.seals().load(seal.validator) == seal


def test_the_last_seal_counts(adapter: Adapter, store: SealStore) -> None:
    for height in (1, 2, 9):
        store.save(build_seal(0, height))
    assert adapter.seals().load(build_seal(0, 9).validator) == build_seal(0, 9)


def test_validators_do_not_share_a_seal(store: SealStore) -> None:
    first, second = build_seal(0, 1), build_seal(1, 1)
    store.save(first)
    store.save(second)
    assert [store.load(seal.validator) for seal in (first, second)] == [first, second]
