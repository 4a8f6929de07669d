"""Dropped files are written over, and nobody ever reads another file's bytes."""

import threading
from pathlib import Path

import pytest

from flobc.adapters.filesystem.recycling import SLOTS, RecycledFiles

SIZE = 300_000


def list_inodes(directory: Path) -> set[int]:
    return {path.stat().st_ino for path in directory.iterdir()}


def test_a_dropped_file_is_written_over(tmp_path: Path) -> None:
    files = RecycledFiles(tmp_path)
    files.write(tmp_path / "a", [b"long" * 1000])
    before = list_inodes(tmp_path)
    files.drop(tmp_path / "a")
    assert files.read(tmp_path / "a", SIZE) is None
    files.write(tmp_path / "b", [b"sh", b"ort"])
    assert files.read(tmp_path / "b", SIZE) == b"short"
    assert list_inodes(tmp_path) == before


def test_what_somebody_reads_is_not_written_over(tmp_path: Path) -> None:
    files, others = RecycledFiles(tmp_path), RecycledFiles(tmp_path)
    files.write(tmp_path / "a", [b"first"])
    with others.reading(tmp_path / "a") as file:
        files.drop(tmp_path / "a")
        files.write(tmp_path / "b", [b"other"])
        assert file is not None
        assert file.read() == b"first"
    assert files.read(tmp_path / "b", SIZE) == b"other"


def test_only_so_many_dropped_files_are_kept(tmp_path: Path) -> None:
    files = RecycledFiles(tmp_path)
    for number in range(SLOTS + 5):
        files.write(tmp_path / str(number), [b"x"])
    for number in range(SLOTS + 5):
        files.drop(tmp_path / str(number))
    assert len(list(tmp_path.iterdir())) == SLOTS


def test_a_write_that_fails_leaves_nothing(tmp_path: Path) -> None:
    def fail() -> bytes:
        raise OSError("no room")

    files = RecycledFiles(tmp_path)
    files.write(tmp_path / "a", [b"first"])
    files.drop(tmp_path / "a")
    with pytest.raises(OSError, match="no room"):
        files.write(tmp_path / "b", (fail() for _ in range(1)))
    assert list(tmp_path.iterdir()) == []


def test_a_link_in_a_slot_is_not_followed(tmp_path: Path) -> None:
    victim = tmp_path / "victim"
    victim.write_bytes(b"precious")
    directory = tmp_path / "files"
    directory.mkdir()
    (directory / ".spare-0.part").symlink_to(victim)
    files = RecycledFiles(directory)
    with pytest.raises(OSError, match="symbolic link"):
        files.write(directory / "a", [b"bad"])
    files.write(directory / "a", [b"good"])
    assert (victim.read_bytes(), files.read(directory / "a", SIZE)) == (b"precious", b"good")


def test_readers_beside_writers_see_one_file_or_none(tmp_path: Path) -> None:
    names = [tmp_path / str(number) for number in range(8)]
    done = threading.Event()
    seen: set[bytes] = set()
    torn: list[str] = []

    def read() -> None:
        files = RecycledFiles(tmp_path)
        while not done.is_set():
            for number, path in enumerate(names):
                data = files.read(path, SIZE)
                if data is not None:
                    seen.add(data[:1])
                    if data != bytes([number]) * SIZE:
                        torn.append(f"{path.name}: {len(data)} bytes, {set(data)}")

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    files = RecycledFiles(tmp_path)
    for turn in range(200):
        number = turn % len(names)
        files.write(names[number], [bytes([number]) * SIZE], flush=False)
        files.drop(names[(turn - 3) % len(names)])
    done.set()
    for reader in readers:
        reader.join()
    assert torn == []
    assert len(seen) > 1
