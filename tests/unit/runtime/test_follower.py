"""Reading the log: a good record moves the state, a bad one is counted and changes nothing."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from flobc.adapters.memory import MemoryLog
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.runtime.follower import ChainFollower
from tests.support.dialogue import Chain, digest, fingerprint


def build_follower(chain: Chain, log: MemoryLog) -> tuple[ChainFollower, list[int]]:
    """A follower at the start of a log, and the heights that it sees committed."""
    commits: list[int] = []

    def note(state: ChainState) -> None:
        commits.append(state.height)

    return ChainFollower(log, build_initial_state(chain.genesis), note), commits


def play(rounds: int) -> Chain:
    chain = Chain()
    for _ in range(rounds):
        chain.play_round()
    return chain


def test_catches_up_and_tells_each_commit_once() -> None:
    chain, log = play(3), MemoryLog()
    follower, commits = build_follower(chain, log)
    for record in chain.log:
        log.append(record)
    follower.catch_up()
    follower.catch_up()
    assert follower.offset == len(chain.log)
    assert commits == [1, 2, 3]
    assert fingerprint(follower.state) == fingerprint(chain.state)


def test_publishing_says_whether_the_chain_moved() -> None:
    chain, log = play(1), MemoryLog()
    follower, commits = build_follower(chain, log)
    assert [follower.publish(record) for record in chain.log] == [True] * len(chain.log)
    assert not follower.publish(chain.log[0])
    assert not follower.publish(b"\xff nothing that is known")
    assert commits == [1]
    assert follower.offset == len(log) == len(chain.log) + 2


@given(st.lists(st.tuples(st.integers(0, 30), st.binary(min_size=1, max_size=20)), max_size=10))
def test_bad_records_anywhere_change_nothing(noise: list[tuple[int, bytes]]) -> None:
    """CHAIN-11: positions count valid records, so noise in the log leads to the same chain."""
    chain, log = play(1), MemoryLog()
    for index, record in enumerate(chain.log):
        for _, bad in (item for item in noise if item[0] == index):
            log.append(bytes([0]) + bad)
        log.append(record)
    follower, _ = build_follower(chain, log)
    follower.catch_up()
    assert fingerprint(follower.state) == fingerprint(chain.state)
    assert sum(follower.rejected.values()) == len(log) - len(chain.log)


def test_rejections_are_counted_by_rule() -> None:
    chain, log = Chain(), MemoryLog()
    follower, _ = build_follower(chain, log)
    for _ in range(100):
        log.append(b"\xff")
    follower.catch_up()
    assert follower.rejected == {"WIRE-10": 100}


def test_state_at_the_end_is_the_last_known_good_one() -> None:
    chain, log = Chain(), MemoryLog()
    follower, _ = build_follower(chain, log)
    before = follower.state
    follower.publish(digest("no record"))
    assert follower.state is before


def test_what_was_refused_is_not_written_again_before_the_next_block() -> None:
    chain, log = play(2), MemoryLog()
    follower, _ = build_follower(chain, log)
    late = chain.log[-1]
    assert not follower.publish(late)
    assert not follower.publish(late)
    assert len(log) == 1
    while follower.state.height == 0:
        assert follower.publish(chain.log[follower.state.core.position])
    written = len(log)
    assert not follower.publish(late)
    assert len(log) == written + 1


def test_the_open_round_is_repeated_without_writing_it_twice() -> None:
    chain, log = play(2), MemoryLog()
    for record in chain.log:
        log.append(record)
    follower, commits = build_follower(chain, log)
    follower.go_back()
    assert commits == [1, 2]
    opened = len(chain.log)
    chain.play_round()
    begun = chain.log[opened : opened + 3]
    for record in begun:
        log.append(record)
    late, _ = build_follower(chain, log)
    late.go_back()
    assert fingerprint(late.state) == fingerprint(follower.state)
    for record in chain.log[opened:]:
        assert late.publish(record)
    assert late.offset == len(log) == len(chain.log)
    assert fingerprint(late.state) == fingerprint(chain.state)


def test_the_log_stands_where_the_open_round_goes_otherwise() -> None:
    chain, log = play(1), MemoryLog()
    opened = len(chain.log)
    chain.play_round()
    for record in chain.log[: opened + 3]:
        log.append(record)
    follower, _ = build_follower(chain, log)
    follower.go_back()
    assert follower.publish(chain.log[opened + 1])
    assert follower.offset == len(log) == opened + 3
    for record in chain.log[opened + 3 :]:
        assert follower.publish(record)
    assert fingerprint(follower.state) == fingerprint(chain.state)


@given(st.binary(min_size=1, max_size=20))
def test_what_is_refused_is_written_behind_the_log_that_stood(noise: bytes) -> None:
    chain, log = play(1), MemoryLog()
    for record in [*chain.log, bytes([0]) + noise]:
        log.append(record)
    follower, _ = build_follower(chain, log)
    follower.go_back()
    assert not follower.publish(b"\xff nothing that is known")
    assert follower.offset == len(log) == len(chain.log) + 2
