"""A run's directory may be a stranger's: what is no plain file of a likely size is refused in one sentence."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FileLog, FileModels, FilePayloads, open_regular
from flobc.adapters.filesystem.files import read_regular
from flobc.adapters.filesystem.stores import read_block
from flobc.errors import DataError

UPDATE = b"\1" * 32


def read_payload(root: Path) -> object:
    return FilePayloads(root).get(UPDATE)


def read_model(root: Path) -> object:
    return FileModels(root).get(UPDATE)


def read_first_block(root: Path) -> object:
    return read_block(root, 1)


READERS: dict[str, Callable[[Path], object]] = {
    f"{UPDATE.hex()}.payload": read_payload,
    f"{UPDATE.hex()}.model": read_model,
    "00000001.block": read_first_block,
}


@pytest.mark.parametrize("name", READERS)
def test_a_pipe_keeps_nobody_waiting(tmp_path: Path, name: str) -> None:
    os.mkfifo(tmp_path / name)
    with pytest.raises(DataError, match="no regular file"):
        READERS[name](tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_a_link_is_not_followed(tmp_path: Path, name: str) -> None:
    """A key file's bytes would pass for a model's."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(84))
    (tmp_path / name).symlink_to(secret)
    with pytest.raises(DataError, match="is a link"):
        READERS[name](tmp_path)


@pytest.mark.parametrize("name", READERS)
def test_a_huge_file_is_not_read(tmp_path: Path, name: str) -> None:
    with (tmp_path / name).open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(DataError, match="1099511627776 bytes"):
        READERS[name](tmp_path)


def test_nothing_is_there(tmp_path: Path) -> None:
    assert read_regular(tmp_path / "none", 10) is None
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "none")
    with pytest.raises(DataError, match="no regular file"):
        open_regular(tmp_path)


def test_a_record_of_4_gib_is_not_read(tmp_path: Path) -> None:
    """Its length alone says that it is none; the file is sparse and takes no room."""
    with (tmp_path / "log").open("wb") as file:
        file.write(b"\xff" * 8)
        file.truncate(1 << 32)
    with pytest.raises(DataError, match="damaged at byte 0"):
        FileLog(tmp_path / "log")
