"""Port: the ordered log of consensus records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol


class RecordLog(Protocol):
    """An append-only sequence of byte records; the order in which they stand is the order of the chain."""

    def append(self, record: bytes) -> int:
        """Add a record at the end and return its offset; when this returns a crash does not lose it."""
        ...

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Yield the records from offset ``start`` to the present end."""
        ...

    def __len__(self) -> int:
        """The number of records."""
        ...
