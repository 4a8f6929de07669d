"""A topic in Kafka."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future

from kafka.partitioner import murmur2  # type: ignore[import-untyped]

from flobc.adapters.kafka.reader import RecordReader
from flobc.adapters.kafka.settings import MAX_RECORD_BYTES, KafkaSettings
from flobc.adapters.kafka.tracing import write_traces
from flobc.adapters.kafka.writer import RecordWriter
from flobc.errors import FlobcError, TransientError
from flobc.ports.metrics import SILENCE, Meter
from flobc.ports.topics import Entry, require_entry


class KafkaTopic:
    """``flobc.ports.topics.Topic`` over an existing topic; ``ensure_topic`` makes one.

    Reads from the oldest record on until ``seek`` says otherwise. ``max_record_bytes`` bounds a record's key and
    value together. Connects at once to read and with the first ``append`` to write. A future's callbacks run in the
    client's own thread and must not block. ``meter`` counts what passes, ``label`` is what the topic is called there.

    **Raises** TransientError when Kafka does not answer or has no such topic yet, UsageError when it refuses us.
    """

    def __init__(
        self,
        settings: KafkaSettings,
        name: str,
        max_record_bytes: int = MAX_RECORD_BYTES,
        meter: Meter = SILENCE,
        label: str = "",
    ) -> None:
        self._max_record_bytes = min(max_record_bytes, MAX_RECORD_BYTES)
        self._meter, self._label = meter, label
        meter.add(
            "flobc_kafka_publish_errors_total", 0, topic=label
        )  # of one that begins at 1 nobody sees that it grew
        meter.add("flobc_kafka_read_errors_total", 0, topic=label)
        self._reader = RecordReader(settings, name)
        self._writer = RecordWriter(settings, name)

    @property
    def partitions(self) -> int:
        """How many partitions there were when it was opened."""
        return self._reader.partitions

    def append(self, key: bytes, value: bytes, traces: Sequence[str] = ()) -> Future[None]:
        """Add a record to the partition of ``key`` (as Kafka's own clients choose it); each trace is a header."""
        require_entry(key, value, self._max_record_bytes)
        start_s = time.monotonic()
        try:
            future = self._writer.append(
                (murmur2(key) & 0x7FFFFFFF) % self.partitions, key, value, write_traces(traces)
            )
        except FlobcError:
            self._meter.add("flobc_kafka_publish_errors_total", topic=self._label)
            raise
        future.add_done_callback(lambda done: self._on_answer(done, start_s, len(key) + len(value)))
        return future

    def _on_answer(self, future: Future[None], start_s: float, size_bytes: int) -> None:
        if future.exception() is not None:
            self._meter.add("flobc_kafka_publish_errors_total", topic=self._label)
            return
        self._meter.observe("flobc_kafka_publish_seconds", time.monotonic() - start_s, topic=self._label)
        self._meter.add("flobc_kafka_sent_bytes_total", size_bytes, topic=self._label)

    def read(self, timeout_s: float) -> list[Entry]:
        """Return the next records.

        While Kafka cannot be reached this takes up to the settings' ``request_timeout_s`` longer to say so.
        """
        try:
            entries = self._reader.read(timeout_s)
        except TransientError:
            self._meter.add("flobc_kafka_read_errors_total", topic=self._label)
            raise
        records, age_s = self._reader.measure_lag()
        self._meter.set("flobc_kafka_lag_records", records, topic=self._label)
        self._meter.set("flobc_kafka_lag_seconds", age_s, topic=self._label)
        if entries:
            size_bytes = sum(len(entry.value) for entry in entries)
            self._meter.add("flobc_kafka_received_records_total", len(entries), topic=self._label)
            self._meter.add("flobc_kafka_received_bytes_total", size_bytes, topic=self._label)
        return entries

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
