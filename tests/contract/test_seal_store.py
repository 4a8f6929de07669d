"""SealStore: each validator's last seal and its approvals (ROUND-15, CHAIN-14)."""

from __future__ import annotations

import threading

import pytest

from flobc.errors import LocalProtocolError, UsageError
from flobc.ports.seals import SealStore
from flobc.protocol.messages import Approve, Seal, sign
from tests.contract.conftest import Adapter
from tests.support.dialogue import digest, identity


def build_seal(validator: int, height: int) -> Seal:
    key = identity("validator", validator)
    return sign(Seal(bytes(32), key.public_key, height, digest("header", height)), key)


def build_approve(sealed: Seal | None, plan: int = 0, chain: bytes = bytes(32)) -> Approve:
    key = identity("validator", 0)
    return sign(Approve(chain, key.public_key, digest("plan", plan), sealed), key)


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


def test_no_second_seal_of_a_height_and_none_of_a_lower_one(adapter: Adapter, store: SealStore) -> None:
    """ROUND-15: not even for a second process that runs on the same directory by mistake."""
    store.save(build_seal(0, 2))
    store.save(build_seal(0, 2))
    rival = sign(Seal(bytes(32), build_seal(0, 2).validator, 2, digest("rival")), identity("validator", 0))
    for seal in (rival, build_seal(0, 1)):
        for one in (store, adapter.seals()):
            with pytest.raises(LocalProtocolError, match="ROUND-15"):
                one.save(seal)
    assert adapter.seals().load(rival.validator) == build_seal(0, 2)
    store.save(sign(Seal(digest("another chain"), rival.validator, 1, digest("rival")), identity("validator", 0)))


def test_validators_do_not_share_a_seal(store: SealStore) -> None:
    first, second = build_seal(0, 1), build_seal(1, 1)
    store.save(first)
    store.save(second)
    assert [store.load(seal.validator) for seal in (first, second)] == [first, second]


def test_nothing_is_sealed_after_an_approval_even_after_a_crash(adapter: Adapter, store: SealStore) -> None:
    """CHAIN-14: a validator that approved a successor never seals on the old chain again."""
    store.save(build_seal(0, 1))
    approve = build_approve(build_seal(0, 1))
    store.save_approve(approve)
    for one in (store, adapter.seals()):
        with pytest.raises(LocalProtocolError, match="CHAIN-14"):
            one.save(build_seal(0, 2))
        assert one.load(approve.validator) == build_seal(0, 1)
        assert one.load_approve(approve.chain, approve.validator) == approve
    store.save(build_seal(1, 2))
    other = sign(Seal(digest("other"), approve.validator, 1, digest("header")), identity("validator", 0))
    store.save(other)
    assert store.load(approve.validator) == other


def test_an_approval_names_the_last_seal(store: SealStore) -> None:
    """CHAIN-14: one that knows less would leave a block behind; a seal of another chain is none of this one's."""
    with pytest.raises(UsageError, match="last seal is none"):
        store.save_approve(build_approve(build_seal(0, 1)))
    store.save(build_seal(0, 2))
    for seal in (build_seal(0, 1), None):
        with pytest.raises(UsageError, match="last seal is block 2"):
            store.save_approve(build_approve(seal))
    assert store.load_approve(bytes(32), build_seal(0, 1).validator) is None
    store.save_approve(build_approve(None, chain=digest("other")))


def test_one_plan_is_approved_for_ever(adapter: Adapter, store: SealStore) -> None:
    """CHAIN-14: two would make two successors."""
    store.save_approve(build_approve(None))
    store.save_approve(build_approve(None))
    with pytest.raises(UsageError, match="approves one for ever"):
        adapter.seals().save_approve(build_approve(None, plan=1))
    assert adapter.seals().load_approve(bytes(32), build_seal(0, 1).validator) == build_approve(None)


@pytest.mark.parametrize("attempt", range(5))
def test_sealing_and_approving_exclude_each_other(adapter: Adapter, attempt: int) -> None:
    """CHAIN-14: whichever comes first, no seal is unknown to the approval."""
    start = threading.Barrier(2)

    def seal() -> None:
        start.wait()
        for height in range(1, 50):
            try:
                adapter.seals().save(build_seal(0, height))
            except LocalProtocolError:
                return

    thread = threading.Thread(target=seal)
    thread.start()
    start.wait()
    store, approve = adapter.seals(), None
    while approve is None:
        approve = build_approve(store.load(build_seal(0, 1).validator))
        try:
            store.save_approve(approve)
        except UsageError:
            approve = None
    thread.join()
    assert store.load(approve.validator) == approve.sealed, attempt
