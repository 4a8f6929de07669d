"""Whole files or none, and only where they should go."""

import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FilePayloads, write_atomically
from flobc.errors import DataError


def get_beside(path: Path) -> Path:
    return path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")


def test_a_link_left_beside_is_not_followed(tmp_path: Path) -> None:
    """In a folder that others may write to, the name beside can be guessed."""
    path, treasure = tmp_path / "out", tmp_path / "treasure"
    treasure.write_bytes(b"mine")
    get_beside(path).symlink_to(treasure)
    write_atomically(path, [b"new"])
    assert (path.read_bytes(), treasure.read_bytes()) == (b"new", b"mine")
    assert not path.is_symlink()


def test_what_a_crash_left_beside_is_in_nobodys_way(tmp_path: Path) -> None:
    path = tmp_path / "out"
    get_beside(path).write_bytes(b"half")
    write_atomically(path, [b"wh", b"ole"])
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


def test_a_failure_leaves_the_old_file_and_nothing_beside(tmp_path: Path) -> None:
    path = tmp_path / "out"
    path.write_bytes(b"old")

    def pieces() -> Iterator[bytes]:
        yield b"new"
        raise ValueError("halfway")

    with pytest.raises(ValueError, match="halfway"):
        write_atomically(path, pieces())
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_payload_that_a_power_cut_has_damaged_is_left_out_where_none_are_flushed(tmp_path: Path) -> None:
    (tmp_path / f"{'ab' * 32}.payload").write_bytes(bytes(100))
    with pytest.raises(DataError):
        FilePayloads(tmp_path).list_headers()
    assert FilePayloads(tmp_path, flush=False).list_headers() == []
    assert list(tmp_path.iterdir()) == []
