"""The record log as one file: length, CRC-32, bytes; a torn tail is cut off when it is opened to append."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator
from pathlib import Path

from flobc.errors import DataError

_HEADER_BYTES = 8


def _frame(record: bytes) -> bytes:
    return len(record).to_bytes(4, "big") + zlib.crc32(record).to_bytes(4, "big") + record


def _scan(data: bytes) -> tuple[list[bytes], int]:
    """Return the whole records of ``data`` and the number of bytes that they take."""
    records, offset = [], 0
    while offset + _HEADER_BYTES <= len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        record = data[offset + _HEADER_BYTES : offset + _HEADER_BYTES + length]
        if len(record) < length or zlib.crc32(record) != int.from_bytes(data[offset + 4 : offset + 8], "big"):
            break
        records.append(record)
        offset += _HEADER_BYTES + length
    return records, offset


class FileLog:
    """A record log in a file; appends reach the kernel at once and the disk with ``sync``.

    **Raises** DataError when the file is damaged before its tail, because cutting there would lose records.
    """

    def __init__(self, path: Path, *, writable: bool = True) -> None:
        data = path.read_bytes() if path.exists() else b""
        self._records, whole = _scan(data)
        if _is_damaged_inside(data, whole):
            raise DataError(
                f"The log {path} is damaged at byte {whole} with whole records after it; "
                "restore the file from a copy or start a new run in another directory."
            )
        self._file = None
        if writable:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = path.open("ab", buffering=0)
            if whole < len(data):
                self._file.truncate(whole)

    def append(self, record: bytes) -> int:
        """Add a record; a killed process does not lose it."""
        if self._file is None:
            raise DataError("This log was opened to read only; open the run to write before adding records.")
        self._file.write(_frame(record))
        self._records.append(record)
        return len(self._records) - 1

    def sync(self) -> None:
        """Wait until all records are on disk, so that a power cut does not lose them either."""
        if self._file is not None:
            os.fsync(self._file.fileno())

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Yield the records from ``start`` on."""
        yield from self._records[start:]

    def __len__(self) -> int:
        return len(self._records)

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


def _is_damaged_inside(data: bytes, whole: int) -> bool:
    """Return whether a whole record stands behind the first broken one: then it is no torn tail."""
    if whole + _HEADER_BYTES > len(data):
        return False
    length = int.from_bytes(data[whole : whole + 4], "big")
    rest, _ = _scan(data[whole + _HEADER_BYTES + length :])
    return bool(rest)
