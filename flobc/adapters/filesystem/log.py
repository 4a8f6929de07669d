"""The record log as one file: length, CRC-32, bytes; a torn tail is cut off when it is opened to append."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from io import FileIO
from pathlib import Path
from typing import IO

from flobc.adapters.filesystem.files import open_regular, sync_directory
from flobc.errors import DataError
from flobc.ports.records import require_record
from flobc.protocol.consensus.machine import MAX_RECORD_BYTES

_HEADER_BYTES = 8
_MAX_TAIL_BYTES = 16 * 1024 * 1024
"""No crash tears off more than this; searching more would let a hostile file keep its reader busy for hours."""
_MAX_HASHED_BYTES = 1 << 30
"""How much a search of the tail may hash."""


def frame_record(record: bytes) -> bytes:
    """Return a record as it stands in the file."""
    return len(record).to_bytes(4, "big") + zlib.crc32(record).to_bytes(4, "big") + record


class LogReader:
    """The records of a log file, streamed, up to ``size_bytes``; whoever opened ``file`` closes it.

    After the last record ``torn_bytes`` says how many bytes a crash (or a write under way) left behind it.

    **Raises** DataError, while reading, when the file is damaged before its tail.
    """

    def __init__(self, file: IO[bytes], size_bytes: int, name: object) -> None:
        self._file = file
        self._size_bytes = size_bytes
        self._name = name
        self.torn_bytes = 0

    def __iter__(self) -> Iterator[bytes]:
        offset = 0
        while offset < self._size_bytes:
            head = self._file.read(min(_HEADER_BYTES, self._size_bytes - offset))
            length = int.from_bytes(head[:4], "big")
            # What is longer than any tail is not read: a stranger's log may name 4 GiB.
            wanted = 0 if length > _MAX_TAIL_BYTES else min(length, self._size_bytes - offset - len(head))
            record = self._file.read(wanted)
            if not _is_whole(head, record):
                self._validate_tail(head + record, offset)
                return
            yield record
            offset += _HEADER_BYTES + length

    def _validate_tail(self, begun: bytes, offset: int) -> None:
        size = self._size_bytes - offset
        found = f"{size} bytes after it, more than a crash tears off"
        if size <= _MAX_TAIL_BYTES:
            tail = begun + self._file.read(size - len(begun))
            if not _has_whole_record(tail):
                self.torn_bytes = len(tail)
                return
            found = "whole records after it"
        raise DataError(
            f"The log {self._name} is damaged at byte {offset} with {found}; "
            "restore the file from a copy or start a new run in another directory."
        )


def _is_whole(head: bytes, record: bytes) -> bool:
    """Return whether both are all there and fit; an empty record is what a power cut's zeros look like."""
    if len(head) < _HEADER_BYTES or not record:
        return False
    length, checksum = int.from_bytes(head[:4], "big"), int.from_bytes(head[4:], "big")
    return len(record) == length and zlib.crc32(record) == checksum


def _has_whole_record(tail: bytes) -> bool:
    """Return whether a whole record stands anywhere in a tail, or it takes too long to be sure that none does.

    Then cutting there would lose it. Every offset is tried, because the damage may have hit a length.
    """
    hashed_bytes = 0
    for start in range(1, len(tail) - _HEADER_BYTES):
        length = int.from_bytes(tail[start : start + 4], "big")
        stop = start + _HEADER_BYTES + length
        if 0 < length <= MAX_RECORD_BYTES and stop <= len(tail):
            hashed_bytes += length
            if hashed_bytes > _MAX_HASHED_BYTES:
                return True
            if _is_whole(tail[start : start + _HEADER_BYTES], tail[start + _HEADER_BYTES : stop]):
                return True
    return False


def _write_whole(file: FileIO, frame: bytes) -> None:
    """Write all of a frame or nothing: on a full disk the system takes a part, and what follows would be lost.

    **Raises** OSError.
    """
    start = os.fstat(file.fileno()).st_size
    left = memoryview(frame)
    try:
        while left:
            left = left[file.write(left) :]
    except OSError:
        file.truncate(start)
        raise


class FileLog:
    """A record log in a file; appends reach the kernel at once and the disk with ``sync``.

    **Raises** DataError when the file is damaged before its tail, because cutting there would lose records.
    """

    def __init__(self, path: Path) -> None:
        self._records: list[bytes] = []
        torn_bytes = 0
        if path.exists():
            with open_regular(path) as file:
                reader = LogReader(file, path.stat().st_size, path)
                self._records.extend(reader)
                torn_bytes = reader.torn_bytes
        path.parent.mkdir(parents=True, exist_ok=True)
        self._file = path.open("ab", buffering=0)
        sync_directory(path.parent)
        if torn_bytes:
            self._file.truncate(path.stat().st_size - torn_bytes)

    def append(self, record: bytes) -> int:
        """Add a record; a killed process does not lose it."""
        require_record(record)
        _write_whole(self._file, frame_record(record))
        self._records.append(record)
        return len(self._records) - 1

    def sync(self) -> None:
        """Wait until all records are on disk, so that a power cut does not lose them either."""
        os.fsync(self._file.fileno())

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Yield the records from ``start`` on."""
        yield from self._records[start:]

    def __len__(self) -> int:
        return len(self._records)

    def close(self) -> None:
        """Close the file."""
        self._file.close()
