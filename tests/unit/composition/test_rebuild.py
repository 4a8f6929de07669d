"""A store that is written again holds the very same chain, whatever it is written from and whatever interrupts it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from flobc.adapters.memory import MemoryBlocks, MemoryBroker, MemoryLedgerPeer, MemoryModels, MemoryStates
from flobc.composition.archive import export_chain, open_archive
from flobc.composition.archive.topics import read_topic
from flobc.composition.rebuild import LogSource, PeerSource, RebuildReport, Source, open_archive_source, rebuild
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.recording import LedgerStores
from flobc.errors import DataError, FlobcError, TransientError, UsageError, VerificationError
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.params import Genesis
from tests.support.small_chain import (
    ROUNDS,
    build_chain,
    change_block,
    change_score,
    copy_chain,
    get_stores,
    read_records,
)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_chain(tmp_path_factory.mktemp("rebuild") / "run")


class Stop(Exception):
    """Ctrl-C."""


class Counting:
    """One of a ledger's stores that is interrupted right before or after its nth write."""

    def __init__(self, store: Any, world: World) -> None:
        self._store, self._world = store, world

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._store, name)
        if name not in ("put", "append"):
            return found

        def write(*arguments: Any) -> Any:
            self._world.interrupt()
            result = found(*arguments)
            self._world.interrupt()
            return result

        return write


class World:
    """Empty stores of a ledger."""

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.blocks = MemoryBlocks(build_initial_state(genesis).head_digest)
        self.states, self.models = MemoryStates(), MemoryModels()
        self.left: int | None = None

    @property
    def stores(self) -> LedgerStores:
        return LedgerStores(Counting(self.blocks, self), Counting(self.states, self), Counting(self.models, self))  # type: ignore[arg-type]

    def interrupt(self) -> None:
        if self.left is not None:
            self.left -= 1
            if self.left < 0:
                raise Stop

    def rebuild(self, source: Source) -> RebuildReport:
        return rebuild(source, self.stores)

    def get_blocks(self) -> list[Block]:
        return [block for height in range(1, self.blocks.height + 1) if (block := self.blocks.get(height)) is not None]

    def require_sound(self) -> None:
        """Whatever stands there has its state."""
        for block in self.get_blocks():
            assert self.states.get(block.header.state) is not None

    def require_same(self, root: Path) -> None:
        archive = open_archive(root)
        assert [encode(block) for block in self.get_blocks()] == [
            encode(archive.block(height)) for height in range(1, archive.height + 1)
        ]
        self.require_sound()
        for digest in (self.genesis.initial_model, self.get_blocks()[-1].header.model):
            assert self.models.get(digest) is not None


@pytest.fixture
def world(root: Path) -> World:
    return World(load_genesis(root))


def open_source(root: Path, kind: str, place: Path) -> Source:
    genesis = load_genesis(root)
    if kind == "directory":
        return open_archive_source(root)
    if kind == "export":
        export_chain(open_archive(root), place / "chain.zip")
        return open_archive_source(place / "chain.zip")
    if kind == "log":
        topic = MemoryBroker().open("log")
        for record in (b"junk", *read_records(root)):
            topic.append(b"", record)
        end = topic.ends()[0]
        topic.append(b"", read_records(root)[0])
        return LogSource(genesis, read_topic(topic, end), get_stores(root)[1].get, lambda: end)
    other = World(genesis)
    other.rebuild(open_archive_source(root))
    return PeerSource(genesis, MemoryLedgerPeer(genesis, other.blocks, other.states, other.models))


KINDS = ("directory", "export", "log", "peer")


@pytest.mark.parametrize("kind", KINDS)
def test_every_source_leads_to_the_identical_head(root: Path, tmp_path: Path, world: World, kind: str) -> None:
    """CHAIN-10: what is stored follows from the log alone."""
    source = open_source(root, kind, tmp_path)
    seen: list[tuple[int, int]] = []
    report = rebuild(source, world.stores, lambda done, total: seen.append((done, total)))
    world.require_same(root)
    head = open_archive(root).block(ROUNDS)
    assert head is not None
    assert (report.height, report.written, report.found) == (ROUNDS, ROUNDS, 0)
    assert report.head == compute_header_digest(head.header)
    assert seen == sorted(seen)
    assert all(done <= total for done, total in seen)
    again = world.rebuild(open_archive_source(root))
    assert (again.head, again.written, again.found) == (report.head, 0, ROUNDS)


def test_an_interrupted_rebuild_goes_on_where_it_was(root: Path) -> None:
    interrupted = 0
    for writes in range(100):
        world = World(load_genesis(root))
        world.left = writes
        try:
            world.rebuild(open_archive_source(root))
        except Stop:
            interrupted += 1
        else:
            break
        world.require_sound()
        before, world.left = world.blocks.height, None
        report = world.rebuild(open_archive_source(root))
        assert report.found == before
        world.require_same(root)
    assert interrupted > 2 * (2 * ROUNDS)


def test_a_store_that_lost_states_and_models_gets_them_back(root: Path, world: World) -> None:
    world.rebuild(open_archive_source(root))
    world.states._states.clear()  # type: ignore[attr-defined]
    world.models.keep_only(frozenset())
    world.rebuild(open_archive_source(root))
    world.require_same(root)


def test_invalid_another_chain_and_another_block_are_refused(root: Path, tmp_path: Path, world: World) -> None:
    world.rebuild(open_archive_source(root))
    before = world.get_blocks()
    other = build_chain(tmp_path / "other", seed=6, rounds=1)
    with pytest.raises(UsageError, match="The store holds chain"):
        world.rebuild(open_archive_source(other))
    world.blocks._blocks[1] = change_score(before[1])
    with pytest.raises(UsageError, match="another block 2 than the source"):
        world.rebuild(open_archive_source(root))
    assert world.blocks.height == ROUNDS


class Liar(MemoryLedgerPeer):
    """A ledger that changes one thing of what it serves."""

    def __init__(self, world: World, height: int, **changes: Any) -> None:
        super().__init__(world.genesis, world.blocks, world.states, world.models)
        self._height, self._changes, self._world = height, changes, world

    def get_block(self, height: int) -> Block | None:
        block = super().get_block(height)
        if block is None or height != self._height or "state" in self._changes:
            return block
        return self._changes["block"](block)  # type: ignore[no-any-return]

    def get_state(self, digest: bytes) -> bytes | None:
        block = self._world.blocks.get(self._height)
        if "state" in self._changes and block is not None and block.header.state == digest:
            return self._changes["state"]  # type: ignore[no-any-return]
        return super().get_state(digest)


LIES: dict[str, tuple[dict[str, Any], type[FlobcError], str]] = {
    "too few seals": (
        {"block": lambda block: replace(block, certificate=block.certificate[:2])},
        VerificationError,
        "CHAIN-6",
    ),
    "another header": (
        {"block": lambda block: replace(block, header=replace(block.header, model=bytes(32)))},
        VerificationError,
        "CHAIN-6",
    ),
    "another body": ({"block": change_score}, VerificationError, "height 2"),
    "no block": ({"block": lambda _: None}, VerificationError, "CHAIN-8"),
    "another state": ({"state": b"\x01"}, VerificationError, "CHAIN-8"),
    "no state": ({"state": None}, DataError, "no state of block 2"),
}


@pytest.mark.parametrize("lie", LIES)
def test_invalid_what_a_ledger_says_is_checked_before_it_is_written(root: Path, world: World, lie: str) -> None:
    """CHAIN-6, CHAIN-8: nothing from the lie on is written."""
    changes, kind, sentence = LIES[lie]
    honest = World(world.genesis)
    honest.rebuild(open_archive_source(root))
    with pytest.raises(kind, match=sentence):
        world.rebuild(PeerSource(world.genesis, Liar(honest, 2, **changes)))
    assert world.blocks.height < 2


def test_invalid_the_newest_model_must_be_had_and_can_be_brought_later(root: Path, world: World) -> None:
    records = read_records(root)
    with pytest.raises(DataError, match=f"of the newest block {ROUNDS} is nowhere"):
        world.rebuild(LogSource(world.genesis, iter(records), lambda _: None))
    assert world.blocks.height == ROUNDS - 1
    world.rebuild(LogSource(world.genesis, iter(records), get_stores(root)[1].get))
    world.require_same(root)


def test_invalid_another_model_is_not_written(root: Path, world: World) -> None:
    other = get_stores(root)[1].get(world.genesis.initial_model)
    assert other is not None
    with pytest.raises(DataError, match="has another digest"):
        world.rebuild(LogSource(world.genesis, iter(read_records(root)), lambda _: 2 * other))
    assert world.blocks.height == 0


def test_invalid_a_log_that_ends_before_the_blocks_is_no_whole_chain(root: Path, tmp_path: Path, world: World) -> None:
    damaged = copy_chain(root, tmp_path / "copy")
    (damaged / "log").write_bytes((damaged / "log").read_bytes()[:-200])
    with pytest.raises(DataError, match=f"The log leads to block {ROUNDS - 1} only"):
        world.rebuild(open_archive_source(damaged))
    world.require_sound()


def test_invalid_a_block_that_is_not_what_the_log_leads_to(root: Path, tmp_path: Path, world: World) -> None:
    """CHAIN-10"""
    damaged = copy_chain(root, tmp_path / "copy")
    change_block(damaged, 2, change_score)
    with pytest.raises(VerificationError, match="CHAIN-10"):
        world.rebuild(open_archive_source(damaged))


class Silent:
    """A topic that stops giving records before its end."""

    def seek(self, positions: dict[int, int]) -> None:
        del positions

    def read(self, timeout_s: float) -> list[Any]:
        del timeout_s
        return []


def test_invalid_a_log_that_falls_silent_is_not_waited_for_without_end() -> None:
    records: Iterator[bytes] = read_topic(Silent(), 5)  # type: ignore[arg-type]
    with pytest.raises(TransientError, match="at offset 0 of 5"):
        next(records)
