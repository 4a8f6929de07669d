"""An index that is kept: a later start goes on with it, and what cannot be gone on with is built again."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from flobc.composition.explorer import keeping
from flobc.composition.explorer.index import Index
from flobc.composition.explorer.keeping import LOCK, NAME, PREFIX, IndexFile
from flobc.errors import UsageError
from flobc.protocol.chain.block import compute_header_digest
from tests.bench.made_chain import MadeChain
from tests.support.explored import ExploredChain, Viewer

BLOCKS = 5
WRONG = -7
"""A loss that no block has: it is gone from an index that was built again."""


@contextmanager
def looking(world: ExploredChain, directory: Path) -> Iterator[Viewer]:
    """An explorer that has taken in the whole chain."""
    viewer = Viewer(world, directory=directory)
    try:
        viewer.wait_for(lambda: viewer.client.get("/readyz").status_code == 200, "readiness")
        yield viewer
    finally:
        viewer.close()


@pytest.fixture
def world() -> Iterator[ExploredChain]:
    made = ExploredChain()
    made.grow(BLOCKS)
    made.open()
    yield made
    made.shut()


@pytest.fixture
def kept(world: ExploredChain, tmp_path: Path) -> Path:
    """A directory with the index of the whole chain, of which one number is wrong."""
    with looking(world, tmp_path / "index"):
        pass
    change(tmp_path / "index", f"UPDATE blocks SET loss = {WRONG} WHERE height = 2")
    return tmp_path / "index"


def change(directory: Path, sql: str) -> None:
    with closing(sqlite3.connect(directory / NAME)) as connection, connection:
        connection.execute(sql)


def read_loss(viewer: Viewer) -> int:
    row = viewer.explorer.queries.read_block(2)
    assert row is not None
    return int(row["loss"])


def test_a_later_start_goes_on_where_the_index_ends(world: ExploredChain, kept: Path) -> None:
    """It has its pages before any ledger answers, and sums go on too."""
    world.shut()
    early = Viewer(world, directory=kept)
    assert '"/blocks/5"' in early.get("/").text
    early.close()
    world.open()
    world.grow(2)
    with looking(world, kept) as viewer:
        viewer.wait_for_height(BLOCKS + 2)
        assert read_loss(viewer) == WRONG
        assert viewer.explorer.queries.list_broken() == []
        assert viewer.explorer.queries.read_totals().accepted == sum(
            len(block.accepted) for height in range(1, 8) if (block := world.blocks.get(height)) is not None
        )
        # how fast blocks came while nobody looked is not known
        assert viewer.explorer.queries.measure_rate() is None
        assert compute_header_digest(world.chain.state.head.header).hex() in viewer.get("/blocks/7").text


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(b""),
        truncate,
        lambda path: path.write_bytes(bytes(range(256)) * 100),
        lambda path: change(path.parent, "UPDATE mark SET format = format + 1"),
        lambda path: change(path.parent, "UPDATE mark SET release = 'older'"),
        lambda path: change(path.parent, "UPDATE mark SET chain = zeroblob(32)"),
        lambda path: change(path.parent, "DROP TABLE mark"),
        lambda path: change(path.parent, "DELETE FROM blocks WHERE height = 3"),
        lambda path: change(path.parent, "UPDATE blocks SET defect = 'it lied' WHERE height = 3"),
        lambda path: change(path.parent, "UPDATE blocks SET digest = zeroblob(32) WHERE height = 5"),
        lambda path: change(path.parent, "INSERT INTO blocks (height, digest) VALUES (6, zeroblob(32))"),
    ],
    ids=["empty", "truncated", "garbage", "format", "release", "chain", "no mark", "gap", "defect", "head", "beyond"],
)
def test_an_index_that_cannot_be_gone_on_with_is_built_again(
    damage: Callable[[Path], object], world: ExploredChain, kept: Path, caplog: pytest.LogCaptureFixture
) -> None:
    damage(kept / NAME)
    with looking(world, kept) as viewer:
        assert viewer.explorer.index.height == BLOCKS
        assert read_loss(viewer) != WRONG
        assert viewer.explorer.queries.list_broken() == []
        assert viewer.explorer.queries.read_totals().accepted == sum(
            len(block.accepted) for height in range(1, BLOCKS + 1) if (block := world.blocks.get(height)) is not None
        )
    assert "is built again" in caplog.text
    # and the new one is good
    with looking(world, kept):
        assert caplog.text.count("is built again") == 1


def test_a_directory_that_cannot_be_used_is_one_sentence(tmp_path: Path) -> None:
    genesis = MadeChain().genesis
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="correct FLOBC_DATA"):
        Index(genesis, tmp_path / "file")
    first = Index(genesis, tmp_path / "index")
    with pytest.raises(UsageError, match="FLOBC_DATA of its own"):
        Index(genesis, tmp_path / "index")
    first.close()
    Index(genesis, tmp_path / "index").close()


def make_abandoned(folder: Path, name: str) -> Path:
    """What a killed explorer leaves behind, an hour ago."""
    place = folder / f"{PREFIX}{name}"
    place.mkdir()
    for file in (place / NAME, place / LOCK):
        file.touch()
        os.utime(file, (time.time() - 3600,) * 2)
    return place


def test_what_a_killed_explorer_left_goes_with_the_next_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    running, young, abandoned = (make_abandoned(tmp_path, name) for name in ("running", "young", "abandoned"))
    os.utime(young / LOCK)
    other = tmp_path / f"{PREFIX}other"
    other.mkdir()
    with (running / LOCK).open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        index = IndexFile(None, b"chain")
    assert sorted(tmp_path.iterdir()) == sorted((running, young, other, index.path.parent))
    index.close()
    assert not index.path.parent.exists()
    assert not abandoned.exists()


def test_a_running_explorer_keeps_its_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(keeping, "YOUNG_S", -1)
    first = IndexFile(None, b"chain")
    second = IndexFile(None, b"chain")
    assert first.path.parent.is_dir()
    first.close()
    second.close()
    assert not list(tmp_path.iterdir())
