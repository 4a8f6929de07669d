"""A trainer signs identities in ascending order, whatever head it is shown (ROUND-2, ROUND-3)."""

from __future__ import annotations

import dataclasses

import pytest

from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.roles import trainer as rules
from flobc.protocol.roles.duties import Train
from tests.support.dialogue import build_genesis, build_params, identity
from tests.support.payloads import build_payload

QUOTA = 3


def build_state(scheme: str, height: int, last_used: int = -1, max_staleness: int = 4) -> ChainState:
    """The certified state at a height, as a ledger shows it."""
    params = build_params(scheme, quota=QUOTA, max_staleness=max_staleness)
    state = build_initial_state(build_genesis(params=params))
    key = identity("trainer", 0).public_key
    entry = dataclasses.replace(state.core.trainers[key], last_used_base=last_used)
    head = dataclasses.replace(state.head, header=dataclasses.replace(state.head.header, height=height))
    core = dataclasses.replace(state.core, trainers={**state.core.trainers, key: entry})
    return dataclasses.replace(state, head=head, core=core)


def build_role(*signed: tuple[int, int]) -> rules.TrainerRole:
    role = rules.TrainerRole(identity("trainer", 0).public_key)
    for base, k in signed:
        role = rules.on_published(role, build_payload(0, base, k).header)
    return role


def owed(role: rules.TrainerRole, state: ChainState) -> tuple[int, int] | None:
    duties = rules.get_duties(role, state)
    assert len(duties) <= 1
    return next(((duty.base_height, duty.k) for duty in duties if isinstance(duty, Train)), None)


@pytest.mark.parametrize(
    ("signed", "height", "expected"),
    [
        ((), 0, (0, 0)),
        (((0, 0),), 0, (0, 1)),
        (((0, 2),), 0, None),
        (((4, 0), (4, 1)), 4, (4, 2)),
        (((4, 1),), 4, (4, 2)),  # only the last one is remembered: what lies below is signed, or lost for good
        (((4, 1), (4, 0)), 4, (4, 2)),
        (((4, 0),), 5, (5, 0)),
        (((4, 0),), 3, None),  # a ledger that was wiped
        (((4, 0),), 0, None),
    ],
)
def test_the_next_identity_is_above_all_before(
    signed: tuple[tuple[int, int], ...], height: int, expected: tuple[int, int] | None
) -> None:
    assert owed(build_role(*signed), build_state("bap", height)) == expected


def test_one_update_a_base_under_bsp() -> None:
    assert owed(build_role(), build_state("bsp", 2)) == (2, 0)
    assert owed(build_role((2, 0)), build_state("bsp", 2)) is None


def test_a_base_that_was_used_is_done_with() -> None:
    """ROUND-3."""
    assert owed(build_role(), build_state("bap", 2, last_used=2)) is None
    assert owed(build_role(), build_state("bap", 2, last_used=1)) == (2, 0)


@pytest.mark.parametrize(
    ("scheme", "base", "last_used", "expected"),
    [
        ("bap", 4, -1, True),
        ("bap", 3, 2, True),
        ("bap", 3, 3, False),  # cumulative: what was trained on top of a used update would count twice
        ("bap", 2, 3, False),
        ("bap", 1, -1, False),  # below the window
        ("bsp", 4, 3, True),
        ("bsp", 3, -1, False),
    ],
)
def test_work_is_of_use_while_its_base_is_open(scheme: str, base: int, last_used: int, *, expected: bool) -> None:
    """ROUND-3, SYNC-11."""
    state = build_state(scheme, 4, last_used=last_used, max_staleness=2)
    assert rules.is_of_use(build_role(), state, base) is expected


def test_a_stranger_has_nothing_of_use() -> None:
    """ROUND-1."""
    assert not rules.is_of_use(rules.TrainerRole(identity("trainer", 99).public_key), build_state("bap", 2), 2)
