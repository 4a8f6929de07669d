"""Port: a topic of byte records that many append to and everybody reads alike."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from flobc.errors import LocalProtocolError
from flobc.ports.records import require_record


@dataclass(frozen=True)
class Entry:
    """One record as it lies in a topic. Offsets grow within a partition and may leave gaps.

    ``traces`` is where its sender says that it belongs (``flobc.ports.tracing``): nobody signs that, and nothing may
    depend on it (WIRE-15).
    """

    partition: int
    offset: int
    value: bytes
    traces: tuple[str, ...] = ()


class Topic(Protocol):
    """Some partitions, each an ordered log. ``append`` may be called from any thread, the rest by one reader."""

    @property
    def partitions(self) -> int:
        """How many partitions there are; a chain's log has one."""
        ...

    def append(self, key: bytes, value: bytes, traces: Sequence[str] = ()) -> Future[None]:
        """Add a record to the partition of ``key``; records of one key keep their order. ``traces`` go beside it.

        The future is done when a crash of the sender or of one broker can no longer lose the record, and
        fails with TransientError when that could not be had in time: then the record may or may not be there.
        Blocks while too many bytes wait to be acknowledged.

        **Raises** LocalProtocolError for an empty record (WIRE-10) or one larger than the topic takes,
        TransientError when there has been no room for too long.
        """
        ...

    def read(self, timeout_s: float) -> list[Entry]:
        """Return the next records of all partitions, those of one partition in order; empty when none came in time.

        **Raises** TransientError while the topic cannot be reached; DataError when records between the
        present position and the next one that is held are gone: nothing is skipped silently.
        """
        ...

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read next from these offsets, by partition; partitions not named start at their oldest record."""
        ...

    def ends(self) -> dict[int, int]:
        """Return the offset after the last record of each partition. **Raises** TransientError."""
        ...

    def close(self, timeout_s: float) -> None:
        """Wait up to ``timeout_s`` for what was appended to be acknowledged, then let go of everything."""
        ...


def require_entry(key: bytes, value: bytes, max_record_bytes: int) -> None:
    """Check that a record may enter a topic (WIRE-10) and fits it. **Raises** LocalProtocolError."""
    require_record(value)
    size_bytes = len(key) + len(value)
    if size_bytes > max_record_bytes:
        raise LocalProtocolError("WIRE-11", f"at most {max_record_bytes} bytes of key and value", f"{size_bytes} bytes")
