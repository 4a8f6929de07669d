"""Writing certified blocks: in order, after state and model, whatever fails and whoever else writes."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from flobc.adapters.memory import MemoryBlocks, MemoryBroker, MemoryModels, MemoryStates
from flobc.composition.services.ledger import LedgerService
from flobc.composition.services.parts import Loop, Topics
from flobc.composition.services.recording import KEPT_MODELS, RETRY_MS, LedgerStores, Recorder
from flobc.errors import TransientError
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import build_initial_state
from tests.support.dialogue import Chain, digest
from tests.support.hand_scheduler import HandScheduler

ROUNDS = KEPT_MODELS + 4
MODEL = np.arange(4, dtype=np.int32)


def play(rounds: int) -> Chain:
    chain = Chain()
    for _ in range(rounds):
        chain.play_round()
    return chain


SHORT, LONG = play(3), play(ROUNDS)
INITIAL = SHORT.genesis.initial_model


@dataclass
class World:
    """Stores that note in which order they are written to, and fail when they are told to."""

    chain: Chain = SHORT
    writes: list[tuple[str, bytes]] = field(default_factory=list)
    recorded: list[int] = field(default_factory=list)
    calls: int = 0
    fail_at: frozenset[int] = frozenset()
    fetched: list[bytes] = field(default_factory=list)
    everything_is_held: bool = True

    def __post_init__(self) -> None:
        self.blocks = MemoryBlocks(build_initial_state(self.chain.genesis).head_digest)
        self.states, self.models = MemoryStates(), MemoryModels()

    @property
    def stores(self) -> LedgerStores:
        return LedgerStores(Watched(self, self.blocks), Watched(self, self.states), Watched(self, self.models))  # type: ignore[arg-type]

    @property
    def newest(self) -> list[Block]:
        """The blocks whose models are nobody's past yet."""
        return self.chain.blocks[-KEPT_MODELS:]

    def fetch(self, model: bytes) -> NDArray[np.int32] | None:
        self.count()
        self.fetched.append(model)
        return MODEL

    def count(self) -> None:
        self.calls += 1
        if self.calls in self.fail_at:
            raise TransientError("the store is away", 0.1)

    def require_complete(self) -> None:
        """Every block is there, in its place, with its state; the newest ones with their models."""
        assert self.blocks.height == len(self.chain.blocks)
        for block in self.chain.blocks:
            assert self.blocks.get(block.height) == block
            assert self.states.get(block.header.state) is not None
        for block in self.newest:
            assert self.models.get(block.header.model) is not None
        assert self.models.get(self.chain.genesis.initial_model) is not None


class Watched:
    """One store of a world, as its port shows it."""

    def __init__(self, world: World, store: Any) -> None:
        self._world, self._store = world, store

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        self._world.count()
        if not callable(found):
            return found

        def call(*arguments: Any) -> Any:
            result = found(*arguments)
            if name == "append" and result:
                block = arguments[0]
                self._world.writes.append(("block", block.header.state))
                assert self._world.states.get(block.header.state) is not None, "a block stands before its state"
                if block in self._world.newest and self._world.everything_is_held:
                    assert self._world.models.get(block.header.model) is not None, "a block stands before its model"
            return result

        return call


class HandLoop(Loop):
    """A service's loop on a test's clock."""

    scheduler: Any

    def __init__(self) -> None:
        super().__init__()
        self.scheduler = HandScheduler()


@contextmanager
def hand_loop() -> Iterator[HandLoop]:
    loop = HandLoop()
    yield loop
    loop.stop()
    loop._executor.shutdown()


def build_service(world: World, loop: HandLoop) -> tuple[LedgerService, Callable[[], None]]:
    """A ledger at the beginning of its chain's log, and what lets it read all of it."""
    broker = MemoryBroker()
    topics = Topics(broker.open("log"), broker.open("updates"))
    for record in world.chain.log:
        topics.log.append(b"", record)
    recorder = Recorder(world.chain.genesis, world.stores, world.fetch, loop, world.recorded.append)
    service = LedgerService(world.chain.genesis, topics.log, recorder, loop)
    return service, lambda: service._on_log(topics.log.read(0.0))


def record_all(world: World, seconds: int = 60) -> None:
    """One ledger's life, from the first record to the last."""
    with hand_loop() as loop:
        _, read = build_service(world, loop)
        read()
        loop.scheduler.advance(seconds * 1000)
        assert loop._failure is None


def test_blocks_stand_in_their_order_after_their_state_and_model() -> None:
    world = World(LONG)
    record_all(world)
    world.require_complete()
    assert world.recorded == [block.height for block in LONG.blocks]
    assert len(set(world.models._models)) == KEPT_MODELS + 1


def count_calls() -> int:
    world = World()
    record_all(world)
    return world.calls


@pytest.mark.parametrize("call", range(1, count_calls() + 1))
def test_any_call_may_fail(call: int) -> None:
    world = World(fail_at=frozenset({call}))
    record_all(world)
    world.require_complete()
    assert world.recorded == [1, 2, 3]


@given(st.frozensets(st.integers(1, 60), max_size=40))
def test_any_calls_may_fail(calls: frozenset[int]) -> None:
    world = World(fail_at=calls)
    record_all(world)
    world.require_complete()
    assert world.recorded == [1, 2, 3]


def test_waits_for_the_newest_model_alone() -> None:
    """Whoever makes the next block builds on it; an older one that nobody holds any more is nobody's base."""
    world, holds = World(everything_is_held=False), {INITIAL}
    fetch, world.fetch = world.fetch, lambda model: fetch(model) if model in holds else None  # type: ignore[method-assign]
    with hand_loop() as loop:
        _, read = build_service(world, loop)
        read()
        loop.scheduler.advance(10 * RETRY_MS)
        assert world.recorded == [1, 2]
        holds.add(world.chain.blocks[2].header.model)
        loop.scheduler.advance(2 * RETRY_MS)
    assert world.recorded == [1, 2, 3]
    assert set(world.models._models) == holds


def test_a_restart_writes_nothing_twice_and_forgets_no_model() -> None:
    """The log is read from its beginning, and what is at its beginning is old: newer models must stay."""
    world = World(LONG)
    record_all(world)
    held, writes, fetched = set(world.models._models), list(world.writes), len(world.fetched)
    record_all(world)
    world.require_complete()
    assert set(world.models._models) == held
    assert world.writes == writes
    assert len(world.fetched) == fetched


def test_a_restart_brings_back_the_head_models_that_was_lost() -> None:
    world = World()
    record_all(world)
    world.models.keep_only(frozenset())
    record_all(world)
    assert set(world.models._models) == {INITIAL, world.chain.blocks[-1].header.model}


def test_a_store_that_lost_blocks_gets_all_of_them_again() -> None:
    """Redis may forget its last second: going on would leave a gap that nobody ever fills."""
    world, told = World(), []
    first, second, third = world.chain.blocks
    with hand_loop() as loop:
        recorder = Recorder(world.chain.genesis, world.stores, world.fetch, loop, world.recorded.append)
        recorder.on_behind = lambda: told.append("behind")
        for block in (first, second):
            recorder.add(block, _find_state(block))
        loop.scheduler.run()
        world.blocks._blocks.pop()
        world.blocks._head = second.header.parent
        recorder.add(third, _find_state(third))
        loop.scheduler.advance(RETRY_MS)
        assert told == ["behind"]
        assert world.recorded == [1, 2]
        for block in (first, second, third):
            recorder.add(block, _find_state(block))
        loop.scheduler.advance(RETRY_MS)
    world.require_complete()


@given(st.lists(st.booleans(), max_size=60), st.frozensets(st.integers(1, 80), max_size=30))
def test_two_ledgers_on_one_store(turns: list[bool], calls: frozenset[int]) -> None:
    """Either may be first at any block, lag behind or meet a store that is away."""
    world, other = World(fail_at=calls), []
    with hand_loop() as first, hand_loop() as second:
        _, read = build_service(world, first)
        recorder = Recorder(world.chain.genesis, world.stores, world.fetch, second, other.append)
        read()
        blocks: list[tuple[Block, bytes]] = [(block, b"") for block in world.chain.blocks]
        for is_first in turns:
            if is_first:
                first.scheduler.advance(RETRY_MS)
            elif blocks:
                block, _ = blocks.pop(0)
                recorder.add(block, _find_state(block))
                second.scheduler.advance(RETRY_MS)
        for block, _ in blocks:
            recorder.add(block, _find_state(block))
        for loop in (first, second, first):
            loop.scheduler.advance(100 * RETRY_MS)
        assert first._failure is second._failure is None
    world.require_complete()
    assert world.recorded == other == [1, 2, 3]


def _build_states() -> dict[bytes, bytes]:
    world = World()
    record_all(world)
    return world.states._states


STATES = _build_states()


def _find_state(block: Block) -> bytes:
    return STATES[block.header.state]


class LingeringBlocks(MemoryBlocks):
    """The other ledger is first at every block, between this one's look at the height and its append."""

    def append(self, block: Block) -> bool:
        super().append(block)
        return False


def test_a_block_that_another_ledger_wrote_in_between_is_recorded_too() -> None:
    world = World()
    world.blocks = LingeringBlocks(build_initial_state(world.chain.genesis).head_digest)
    record_all(world)
    assert world.recorded == [1, 2, 3]
    world.require_complete()


def test_real_threads_write_one_chain() -> None:
    """Two ledgers on loops of their own; nothing is lost and nothing stands twice."""
    world = World(LONG)
    done = [threading.Event(), threading.Event()]

    def live(number: int) -> None:
        loop = Loop()
        broker = MemoryBroker()
        topics = Topics(broker.open("log"), broker.open("updates"))
        heights: list[int] = []

        def on_recorded(height: int) -> None:
            heights.append(height)
            if height == ROUNDS:
                loop.stop()

        recorder = Recorder(LONG.genesis, stores, lambda _: MODEL, loop, on_recorded)
        service = LedgerService(LONG.genesis, topics.log, recorder, loop)
        service.start(lambda: None)
        for record in LONG.log:
            topics.log.append(b"", record)
        loop.run()
        service.stop()
        assert heights == list(range(1, ROUNDS + 1))
        done[number].set()

    stores = LedgerStores(_Locked(world.blocks), world.states, world.models)
    threads = [threading.Thread(target=live, args=(number,), daemon=True) for number in range(2)]
    for thread in threads:
        thread.start()
    assert all(event.wait(60) for event in done)
    assert [world.blocks.get(height) for height in range(1, ROUNDS + 1)] == LONG.blocks
    assert world.models.get(LONG.blocks[-1].header.model) is not None


class _Locked:
    """A block store whose append is atomic, as the port asks."""

    def __init__(self, blocks: MemoryBlocks) -> None:
        self._blocks, self._lock = blocks, threading.Lock()

    def append(self, block: Block) -> bool:
        with self._lock:
            return self._blocks.append(block)

    def get(self, height: int) -> Block | None:
        return self._blocks.get(height)

    @property
    def height(self) -> int:
        return self._blocks.height


def test_says_when_it_has_read_all_that_was_there() -> None:
    world = World()
    told: list[str] = []
    with hand_loop() as loop:
        service, read = build_service(world, loop)
        service._on_caught_up = lambda: told.append("caught up")
        service._on_ends({0: 1})
        assert told == []
        read()
        service._on_log([])
    assert told == ["caught up"]
    assert digest("model", 1) == world.chain.blocks[0].header.model


def test_a_store_that_is_away_is_asked_no_more_often_the_longer_it_is_away() -> None:
    world = World(SHORT, fail_at=frozenset(range(1, 10_000)))
    with hand_loop() as loop:
        service, read = build_service(world, loop)
        service._recorder.start()
        read()
        loop.scheduler.advance(20_000)
        assert world.calls <= 20_000 // RETRY_MS + 2
        world.fail_at = frozenset()
        loop.scheduler.advance(RETRY_MS)
    assert world.recorded == [1, 2, 3]
