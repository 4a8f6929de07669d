"""A topic in Kafka."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Future

from kafka.partitioner import murmur2  # type: ignore[import-untyped]

from flobc.adapters.kafka.reader import RecordReader
from flobc.adapters.kafka.settings import MAX_RECORD_BYTES, KafkaSettings
from flobc.adapters.kafka.writer import RecordWriter
from flobc.ports.topics import Entry, require_entry


class KafkaTopic:
    """``flobc.ports.topics.Topic`` over an existing topic; ``ensure_topic`` makes one.

    Reads from the oldest record on until ``seek`` says otherwise. ``max_record_bytes`` bounds a record's key and
    value together. Connects at once to read and with the first ``append`` to write. A future's callbacks run in the
    client's own thread and must not block.

    **Raises** TransientError when Kafka does not answer or has no such topic yet, UsageError when it refuses us.
    """

    def __init__(self, settings: KafkaSettings, name: str, max_record_bytes: int = MAX_RECORD_BYTES) -> None:
        self._max_record_bytes = min(max_record_bytes, MAX_RECORD_BYTES)
        self._reader = RecordReader(settings, name)
        self._writer = RecordWriter(settings, name)

    @property
    def partitions(self) -> int:
        """How many partitions there were when it was opened."""
        return self._reader.partitions

    def append(self, key: bytes, value: bytes) -> Future[None]:
        """Add a record to the partition of ``key`` (as Kafka's own clients choose it)."""
        require_entry(key, value, self._max_record_bytes)
        return self._writer.append((murmur2(key) & 0x7FFFFFFF) % self.partitions, key, value)

    def read(self, timeout_s: float) -> list[Entry]:
        """Return the next records.

        While Kafka cannot be reached this takes up to the settings' ``request_timeout_s`` longer to say so.
        """
        return self._reader.read(timeout_s)

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read next from these offsets."""
        self._reader.seek(positions)

    def ends(self) -> dict[int, int]:
        """Return the offset after the last record of each partition."""
        return self._reader.ends()

    def close(self, timeout_s: float) -> None:
        """Wait for what was appended, then let go of everything."""
        self._writer.close(timeout_s)
        self._reader.close()
