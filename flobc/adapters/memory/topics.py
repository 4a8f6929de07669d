"""Topics in this process's memory."""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from flobc.errors import DataError, TransientError, UsageError
from flobc.ports.topics import Entry, require_entry
from flobc.ports.tracing import MAX_TRACES

_MAX_RECORD_BYTES = 1_048_576
_RETRY_DELAY_S = 0.1


class _Partition:
    """Records from offset ``start`` on; those before are forgotten."""

    def __init__(self) -> None:
        self.start = 0
        self.values: list[tuple[bytes, tuple[str, ...]]] = []

    @property
    def end(self) -> int:
        return self.start + len(self.values)

    def forget(self, before: int) -> None:
        dropped = max(0, min(before, self.end) - self.start)
        del self.values[:dropped]
        self.start += dropped


class _Log:
    """What all handles of one topic share; ``changed`` guards it."""

    def __init__(self, partitions: int, changed: threading.Condition) -> None:
        self.partitions = [_Partition() for _ in range(partitions)]
        self.changed = changed
        self.is_away = False


class MemoryBroker:
    """Topics by name. Threads may share it."""

    def __init__(self) -> None:
        self._logs: dict[str, _Log] = {}
        self._changed = threading.Condition()

    def open(self, name: str, partitions: int = 1) -> MemoryTopic:
        """Return a handle of its own to a topic, which is made if it is not there yet.

        **Raises** UsageError when it is there with another number of partitions.
        """
        with self._changed:
            log = self._logs.setdefault(name, _Log(partitions, self._changed))
        if len(log.partitions) != partitions:
            raise UsageError(
                f"The topic {name} has {len(log.partitions)} partitions, expected {partitions}; "
                "use the number that is there."
            )
        return MemoryTopic(name, log)

    def forget(self, name: str, partition: int, before: int) -> None:
        """Drop a partition's records before an offset, as retention does."""
        with self._changed:
            self._logs[name].partitions[partition].forget(before)

    def set_away(self, is_away: bool) -> None:
        """Make every topic unreachable, or reachable again with what it held."""
        with self._changed:
            for log in self._logs.values():
                log.is_away = is_away
            self._changed.notify_all()


class MemoryTopic:
    """``flobc.ports.topics.Topic`` on a list for each partition. A record is acknowledged when ``append`` returns."""

    def __init__(self, name: str, log: _Log, max_record_bytes: int = _MAX_RECORD_BYTES) -> None:
        self._name = name
        self._log = log
        self._max_record_bytes = max_record_bytes
        # None: from the oldest record that is held when the first one is read
        self._positions: list[int | None] = [None] * len(log.partitions)
        self._is_closed = False

    @property
    def partitions(self) -> int:
        """How many partitions there are."""
        return len(self._log.partitions)

    def append(self, key: bytes, value: bytes, traces: Sequence[str] = ()) -> Future[None]:
        """Add a record to the partition of ``key``."""
        require_entry(key, value, self._max_record_bytes)
        future: Future[None] = Future()
        with self._log.changed:
            self._require_reachable("append to")
            partition = self._log.partitions[zlib.crc32(key) % self.partitions]
            partition.values.append((value, tuple(traces[:MAX_TRACES])))
            self._log.changed.notify_all()
        future.set_result(None)
        return future

    def read(self, timeout_s: float) -> list[Entry]:
        """Return the next records."""
        until_s = time.monotonic() + timeout_s
        with self._log.changed:
            while True:
                self._require_reachable("read")
                found = [entry for number in range(self.partitions) for entry in self._take(number)]
                if found or not self._log.changed.wait(max(0.0, until_s - time.monotonic())):
                    return found

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read next from these offsets. **Raises** DataError for a partition that is not there."""
        for number, offset in positions.items():
            if not 0 <= number < self.partitions or offset < 0:
                raise DataError(
                    f"Cannot read {self._name} from offset {offset} of partition {number}: it has {self.partitions} "
                    "partitions and offsets start at 0; start from positions that were taken in this topic."
                )
        self._positions = [positions.get(number) for number in range(self.partitions)]

    def ends(self) -> dict[int, int]:
        """Return the offset after the last record of each partition."""
        with self._log.changed:
            self._require_reachable("read the end of")
            return {number: partition.end for number, partition in enumerate(self._log.partitions)}

    def close(self, timeout_s: float) -> None:  # noqa: ARG002  nothing waits here
        """Let go of the topic."""
        self._is_closed = True

    def _take(self, number: int) -> list[Entry]:
        partition = self._log.partitions[number]
        position = self._positions[number]
        start = partition.start if position is None else position
        if not partition.start <= start <= partition.end:
            raise DataError(
                f"Cannot read {self._name}: partition {number} holds offsets {partition.start} to {partition.end}, not "
                f"{start}; start from a newer certified block."
            )
        values = partition.values[start - partition.start :]
        if values or position is not None:
            self._positions[number] = start + len(values)
        return [Entry(number, start + index, *value) for index, value in enumerate(values)]

    def _require_reachable(self, what: str) -> None:
        if self._is_closed or self._log.is_away:
            reason = "it is closed here" if self._is_closed else "it is away"
            raise TransientError(f"Cannot {what} {self._name}: {reason}; trying again.", _RETRY_DELAY_S)
