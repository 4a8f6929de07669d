"""Port: the ordered log of consensus records."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

from flobc.errors import LocalProtocolError


class RecordLog(Protocol):
    """An append-only sequence of byte records; the order in which they stand is the order of the chain."""

    def append(self, record: bytes) -> int:
        """Add a record at the end and return its offset; when this returns a crash does not lose it.

        **Raises** LocalProtocolError for an empty record, OSError when there is no room; then nothing is added.
        """
        ...

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Yield the records from offset ``start`` to the present end."""
        ...

    def __len__(self) -> int:
        """The number of records."""
        ...


def require_record(record: bytes) -> None:
    """Check that a record may enter a log (WIRE-10). **Raises** LocalProtocolError.

    An empty one says nothing, and in a file it would look like the zeros that a power cut leaves.
    """
    if not record:
        raise LocalProtocolError("WIRE-10", "a record with a type byte", "no bytes")
