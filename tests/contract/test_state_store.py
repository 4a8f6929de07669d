"""StateStore: encoded core states by the digest that a header commits to."""

from __future__ import annotations

import pytest

from flobc.errors import DataError
from flobc.ports.states import StateStore
from flobc.protocol.consensus.state import compute_state_digest
from flobc.protocol.encoding import encode
from tests.contract.conftest import LedgerAdapter
from tests.support.dialogue import Chain, digest

STATE = bytes(range(256)) * 8


@pytest.fixture
def store(ledger_adapter: LedgerAdapter) -> StateStore:
    return ledger_adapter.states()


def test_holds_nothing_at_first(store: StateStore) -> None:
    assert store.get(digest("state")) is None


def test_a_header_names_the_state_that_is_stored() -> None:
    """The digest in a header, taken over the state itself, is the one of its encoding (WIRE-8)."""
    chain = Chain()
    assert compute_state_digest(encode(chain.state.core)) == chain.state.head.header.state


@pytest.mark.parametrize("state", [STATE, b"", bytes(3_000_000)])
def test_returns_what_was_put(ledger_adapter: LedgerAdapter, store: StateStore, state: bytes) -> None:
    name = compute_state_digest(state)
    store.put(name, state)
    store.put(name, state)
    assert store.get(name) == state
    assert ledger_adapter.states().get(name) == state


def test_states_do_not_share_a_place(store: StateStore) -> None:
    states = [STATE, STATE[1:]]
    for state in states:
        store.put(compute_state_digest(state), state)
    assert [store.get(compute_state_digest(state)) for state in states] == states


def test_invalid_state_under_another_digest(store: StateStore) -> None:
    """Nobody may start from a state that is not the one a block names."""
    store.put(digest("another"), STATE)
    with pytest.raises(DataError, match=digest("another").hex()):
        store.get(digest("another"))
