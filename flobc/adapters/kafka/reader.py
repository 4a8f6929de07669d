"""Reading a topic from given positions, without a consumer group, and without skipping anything."""

from __future__ import annotations

import contextlib
import logging
import time
from collections.abc import Mapping

from kafka import KafkaConsumer, TopicPartition  # type: ignore[import-untyped]

from flobc.adapters.kafka.clients import in_our_words, open_client
from flobc.adapters.kafka.records import read_records_sparingly
from flobc.adapters.kafka.settings import MAX_RECORD_BYTES, KafkaSettings, to_ms
from flobc.adapters.kafka.tracing import read_traces
from flobc.errors import DataError, TransientError
from flobc.ports.topics import Entry

_PARTITION_FETCH_BYTES = 4 * MAX_RECORD_BYTES
_FETCH_BYTES = 16 * MAX_RECORD_BYTES
_FETCH_WAIT_MS = 500
_MISSING_TOPIC_DELAY_S = 1.0
_CLOSE_MS = 1_000
_SILENCE_S = 1.0
"""For how long nothing need come in before we ask whether Kafka is there at all."""

logger = logging.getLogger(__name__)


class RecordReader:
    """Reads all partitions of a topic. For one thread."""

    def __init__(self, settings: KafkaSettings, topic: str) -> None:
        read_records_sparingly()
        self._settings = settings
        self._topic = topic
        self._consumer = _open_consumer(settings)
        try:
            self._partitions = [TopicPartition(topic, number) for number in range(self._count_partitions())]
        except BaseException:
            self._consumer.close()
            raise
        self._consumer.assign(self._partitions)
        self._heard_s = time.monotonic()
        self._waited_s = 0.0
        self._newest_ms = 0
        self._next: dict[int, int] = {}
        self.seek({})

    @property
    def partitions(self) -> int:
        """How many partitions the topic has."""
        return len(self._partitions)

    def read(self, timeout_s: float) -> list[Entry]:
        """Return the next records (see ``Topic.read``). **Raises** TransientError, DataError, UsageError."""
        begun_s = time.monotonic()
        with in_our_words(self._settings, f"read {self._topic}"):
            found = self._consumer.poll(to_ms(timeout_s))
            self._waited_s += time.monotonic() - begun_s
            if found:
                self._heard_s, self._waited_s = time.monotonic(), 0.0
                self._next |= {place.partition: records[-1].offset + 1 for place, records in found.items()}
                self._newest_ms = max(records[-1].timestamp for records in found.values())
            elif time.monotonic() - self._heard_s > _SILENCE_S:
                self._watch(self.ends())  # the library reports an empty topic and an absent Kafka alike
        # a record without a value is somebody else's: whoever reads refuses it as an empty one
        return [
            Entry(partition.partition, record.offset, record.value or b"", read_traces(record.headers))
            for partition, records in found.items()
            for record in records
        ]

    def _watch(self, ends: Mapping[int, int]) -> None:
        """Begin anew with another consumer when this one has long shown nothing, of no partition, of what lies there.

        No request may take longer than two of Kafka's time limits, and yet a consumer of the library was once seen to
        get nothing for ten minutes on a topic that another one read.
        """
        if self._waited_s < 2 * self._settings.request_timeout_s:
            return
        self._waited_s = 0.0
        with in_our_words(self._settings, f"read the beginning of {self._topic}"):
            starts = self._consumer.beginning_offsets(self._partitions, to_ms(self._settings.request_timeout_s))
        waiting = [
            partition
            for partition in self._partitions
            if ends[partition.partition] > max(self._next.get(partition.partition, 0), starts[partition])
        ]
        if waiting:
            logger.warning("Nothing of what waits in %s was read for long; reading it anew.", self._topic)
            deaf, self._consumer = self._consumer, _open_consumer(self._settings)
            self._consumer.assign(self._partitions)
            self.seek(self._next)
            with contextlib.suppress(Exception):  # it is sick, and nobody needs it any more
                deaf.close(autocommit=False, timeout_ms=_CLOSE_MS)

    def measure_lag(self) -> tuple[int, float]:
        """Return how many records wait, as far as Kafka has told, and the age in seconds of the last one read.

        Asks nobody: every answer with records tells the end of its partition. The age is 0 when nothing waits; it
        goes by the broker's or the writer's clock, so some seconds mean little.
        """
        waiting = 0
        for partition in self._partitions:
            end = self._consumer.highwater(partition)
            if end is not None:
                waiting += max(0, end - self._next.get(partition.partition, 0))
        return waiting, max(0.0, time.time() - self._newest_ms / 1000) if waiting and self._newest_ms else 0.0

    def seek(self, positions: Mapping[int, int]) -> None:
        """Read next from these offsets (see ``Topic.seek``). **Raises** DataError for a partition that is not there."""
        for number, offset in positions.items():
            if not 0 <= number < self.partitions or offset < 0:
                raise DataError(
                    f"Cannot read {self._topic} from offset {offset} of partition {number}: it has {self.partitions} "
                    "partitions and offsets start at 0; start from positions that were taken in this topic."
                )
        self._next = dict(positions)
        for partition in self._partitions:
            if partition.partition in positions:
                self._consumer.seek(partition, positions[partition.partition])
            else:
                self._consumer.seek_to_beginning(partition)

    def ends(self) -> dict[int, int]:
        """Return the offset after the last record of each partition. **Raises** TransientError, UsageError."""
        with in_our_words(self._settings, f"read the end of {self._topic}"):
            found = self._consumer.end_offsets(self._partitions, to_ms(self._settings.request_timeout_s))
        self._heard_s = time.monotonic()
        return {partition.partition: offset for partition, offset in found.items()}

    def close(self) -> None:
        """Let go of the connections."""
        self._consumer.close()

    def _count_partitions(self) -> int:
        with in_our_words(self._settings, f"find {self._topic}"):
            found: set[int] | None = self._consumer.partitions_for_topic(self._topic)
        if not found:
            raise TransientError(
                f"Kafka at {self._settings.address} has no topic {self._topic} yet; it is made when the first "
                "validator starts, trying again.",
                _MISSING_TOPIC_DELAY_S,
            )
        return len(found)


def _open_consumer(settings: KafkaSettings) -> KafkaConsumer:
    return open_client(
        KafkaConsumer,
        settings,
        group_id=None,
        enable_auto_commit=False,
        auto_offset_reset="none",
        fetch_max_wait_ms=_FETCH_WAIT_MS,
        fetch_max_bytes=_FETCH_BYTES,
        max_partition_fetch_bytes=_PARTITION_FETCH_BYTES,
        allow_auto_create_topics=False,
        metrics_enabled=False,
    )
