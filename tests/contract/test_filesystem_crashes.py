"""What a crash leaves in a run's files, and who may write them."""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.adapters.filesystem import (
    FileBlocks,
    FileLog,
    FileModels,
    FilePayloads,
    FileSeals,
    frame_record,
    remove_unfinished,
    write_atomically,
)
from flobc.composition.archive import open_archive
from flobc.composition.run_directory import lock_directory
from flobc.composition.stores import open_file_stores
from flobc.errors import UsageError
from tests.contract.conftest import GENESIS_HEAD
from tests.contract.test_block_store import build_chain
from tests.contract.test_payload_store import put
from tests.contract.test_seal_store import build_seal
from tests.support import small_chain
from tests.support.dialogue import digest
from tests.support.payloads import build_payload

RECORDS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=5)


@contextmanager
def limited_file_size(size_bytes: int) -> Iterator[None]:
    """A disk that takes so much of a file and no more: the system then writes a part and fails."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        signal.signal(signal.SIGXFSZ, handler)


@given(RECORDS, st.binary(min_size=1, max_size=40), st.data())
def test_a_torn_tail_is_cut_off_and_written_over(
    tmp_path_factory: pytest.TempPathFactory, records: list[bytes], lost: bytes, data: st.DataObject
) -> None:
    """A process killed within a write leaves a part of one record, which nobody has acted upon."""
    path = tmp_path_factory.mktemp("log") / "log"
    whole = b"".join(map(frame_record, records))
    frame = frame_record(lost)
    path.write_bytes(whole + frame[: data.draw(st.integers(0, len(frame) - 1))])
    log = FileLog(path)
    assert list(log.read()) == records
    log.append(b"next")
    log.close()
    assert path.read_bytes() == whole + frame_record(b"next")


@pytest.mark.parametrize("room", range(1, 20))
def test_a_full_disk_does_not_tear_the_middle_of_the_log(tmp_path: Path, room: int) -> None:
    """A record that did not fit leaves no part behind: the next one would be lost with it."""
    log = FileLog(tmp_path / "log")
    log.append(b"first")
    size = (tmp_path / "log").stat().st_size
    with limited_file_size(size + room), pytest.raises(OSError, match="File too large"):
        log.append(b"a record of 24 bytes ...")
    assert (tmp_path / "log").stat().st_size == size
    assert len(log) == 1
    assert log.append(b"second") == 1
    assert list(FileLog(tmp_path / "log").read()) == [b"first", b"second"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    write_atomically(path, [b"old"])
    with limited_file_size(10), pytest.raises(OSError, match="File too large"):
        write_atomically(path, [b"new and far too long"])
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_half_written_files_are_not_there(tmp_path: Path) -> None:
    """A kill between the first byte and the rename leaves a part beside; every store passes it over."""
    payloads, models = FilePayloads(tmp_path), FileModels(tmp_path)
    blocks, seals = FileBlocks(tmp_path, GENESIS_HEAD), FileSeals(tmp_path, lambda: None)
    payload, seal, block = build_payload(), build_seal(0, 1), build_chain(1)[0]
    update = put(payloads, payload)
    models.put(digest("model"), np.arange(5, dtype=np.int32))
    blocks.append(block)
    seals.save(seal)
    for path in list(tmp_path.iterdir()):
        path.rename(tmp_path / f".{path.name}.{os.getpid()}.1.part")
    assert payloads.get(update) is None
    assert payloads.list_headers() == []
    assert models.get(digest("model")) is None
    assert FileBlocks(tmp_path, GENESIS_HEAD).height == 0
    assert seals.load(seal.validator) is None
    models.keep_only(frozenset())
    remove_unfinished(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_opening_a_run_to_write_sweeps_up_what_a_kill_left(small_run: Path) -> None:
    parts = [small_run / folder / ".name.1.1.part" for folder in (".", "payloads", "models", "blocks", "seals")]
    for part in parts:
        part.write_bytes(b"half")
    archive = open_archive(small_run)
    assert all(part.exists() for part in parts)
    with open_file_stores(small_run, archive.genesis):
        pass
    assert not any(part.exists() for part in parts)


@pytest.fixture
def small_run(tmp_path: Path) -> Path:
    return small_chain.build_chain(tmp_path / "run", rounds=1)


def test_one_writer_at_a_time(tmp_path: Path) -> None:
    """Two runs on one log would interleave; the lock also holds within a process."""
    with lock_directory(tmp_path):
        with pytest.raises(UsageError, match=f"process \\({os.getpid()}\\)"):
            lock_directory(tmp_path)
        code = (
            "import sys; from pathlib import Path; from flobc.composition.run_directory import lock_directory\n"
            "lock_directory(Path(sys.argv[1]))"
        )
        done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, check=False)
        assert "Another process" in done.stderr
    lock_directory(tmp_path).close()


def test_a_block_store_that_another_writer_moved_on_loses_nothing(tmp_path: Path) -> None:
    """Replicas of one chain append the same blocks; whoever is behind writes what is there already."""
    blocks = build_chain(3)
    first, second = FileBlocks(tmp_path, GENESIS_HEAD), FileBlocks(tmp_path, GENESIS_HEAD)
    for block in blocks:
        assert first.append(block)
        assert second.append(block)
    assert [FileBlocks(tmp_path, GENESIS_HEAD).get(height) for height in (1, 2, 3)] == blocks


def test_a_gap_in_the_blocks_is_filled_again(tmp_path: Path) -> None:
    blocks = build_chain(3)
    store = FileBlocks(tmp_path, GENESIS_HEAD)
    for block in blocks:
        store.append(block)
    (tmp_path / "00000002.block").unlink()
    again = FileBlocks(tmp_path, GENESIS_HEAD)
    assert again.height == 1
    assert again.append(blocks[1])
    assert again.append(blocks[2])
