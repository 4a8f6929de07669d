"""The log is folded once, and every follower is given the very same states."""

import pytest

from flobc.adapters.memory import MemoryLog
from flobc.errors import RemoteProtocolError
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.simulation.shared_log import SharedLog
from tests.support.dialogue import Chain, build_params


def play() -> tuple[ChainState, list[bytes]]:
    """A genesis and records that lead to two blocks, the first record twice."""
    chain = Chain(params=build_params("bsp"))
    chain.play_round(0, 1)
    chain.play_round(0, 1)
    return build_initial_state(chain.state.genesis), [chain.log[0], *chain.log]


def test_followers_share_states_that_are_those_of_the_fold() -> None:
    start, records = play()
    shared, seen = SharedLog(MemoryLog(), start), []
    shared.on_append = lambda offset, record: seen.append((offset, record, shared.state))
    for record in records:
        shared.append(record)
    one = other = alone = start
    for _, record, expected in seen:
        try:
            alone = apply_record(alone, record)
        except RemoteProtocolError as refused:
            for state in (one, other):
                with pytest.raises(RemoteProtocolError, match=refused.rule):
                    shared.apply(state, record)
            continue
        one, other = shared.apply(one, record), shared.apply(other, record)
        assert one is other is expected
        assert one == alone
    assert one.height == 2
    assert one is shared.state


def test_each_block_is_told_of_once() -> None:
    start, records = play()
    shared, heights = SharedLog(MemoryLog(), start), []
    shared.on_commit = lambda state: heights.append(state.height)
    for record in records:
        shared.append(record)
    assert heights == [1, 2]
    assert shared.size_bytes == sum(map(len, records))


def test_what_all_have_passed_is_forgotten_and_can_still_be_folded() -> None:
    start, records = play()
    shared, held = SharedLog(MemoryLog(), start), []
    shared.on_append = lambda _, record: held.append(record)
    for record in records:
        shared.append(record)
    shared.forget(3)
    before = shared.apply(start, held[0])
    assert before == apply_record(start, held[0])
    assert before is not shared.state
