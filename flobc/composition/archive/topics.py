"""A chain's topics read as something at rest: the log up to an offset, and updates found again one by one."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from flobc.errors import RemoteProtocolError, TransientError
from flobc.ports.payloads import Payload
from flobc.ports.topics import Entry, Topic
from flobc.protocol.messages import UpdateChunk, UpdateHeader, compute_update_id, decode_record
from flobc.runtime.transfer import Assembler

READ_S = 5.0
RETRY_S = 1.0


def read_topic(topic: Topic, end: int) -> Iterator[bytes]:
    """Yield a log's records below an offset. **Raises** TransientError, DataError."""
    topic.seek({})
    position = 0
    while position < end:
        for entry in _read(topic, f"offset {position} of {end}"):
            if entry.offset < end:
                yield entry.value
            position = entry.offset + 1


class TopicPayloads:
    """Payloads on the updates topic as it was when the first was asked for.

    One pass over it notes where each header is; a payload is then read from there on. What is held is 100 bytes or so
    an update.
    """

    def __init__(self, open_topic: Callable[[], Topic]) -> None:
        self._open_topic = open_topic
        self._topic: Topic | None = None
        self._ends: dict[int, int] = {}
        self._places: dict[bytes, tuple[int, int]] = {}

    def get(self, update: bytes) -> Payload | None:
        """Return a payload whose chunks hash to the header's root, or None. **Raises** TransientError, DataError."""
        if self._topic is None:
            self._topic = self._open_topic()
            self._ends = dict(self._topic.ends())
            self._find_headers(self._topic)
        place = self._places.get(update)
        return None if place is None else self._read_payload(self._topic, update, *place)

    def close(self) -> None:
        """Let go of the connection."""
        if self._topic is not None:
            self._topic.close(0)

    def _find_headers(self, topic: Topic) -> None:
        topic.seek({})
        for entry in self._read_until_ends(topic, dict.fromkeys(self._ends, 0)):
            record = _decode(entry)
            if isinstance(record, UpdateHeader):
                self._places.setdefault(compute_update_id(record), (entry.partition, entry.offset))

    def _read_payload(self, topic: Topic, update: bytes, partition: int, offset: int) -> Payload | None:
        positions = {**self._ends, partition: offset}
        topic.seek(positions)
        assembler = Assembler(lambda header: compute_update_id(header) == update)
        for entry in self._read_until_ends(topic, positions):
            record = _decode(entry) if entry.partition == partition else None
            payload = None if record is None else assembler.take(record)
            if payload is not None:
                return payload
        return None

    def _read_until_ends(self, topic: Topic, positions: dict[int, int]) -> Iterator[Entry]:
        missing = {number for number, end in self._ends.items() if positions[number] < end}
        while missing:
            for entry in _read(topic, f"{len(missing)} partitions"):
                if entry.offset < self._ends[entry.partition]:
                    yield entry
                if entry.offset + 1 >= self._ends[entry.partition]:
                    missing.discard(entry.partition)


def _decode(entry: Entry) -> UpdateHeader | UpdateChunk | None:
    try:
        record = decode_record(entry.value)
    except RemoteProtocolError:  # anybody may write to this topic
        return None
    return record if isinstance(record, UpdateHeader | UpdateChunk) else None


def _read(topic: Topic, where: str) -> list[Entry]:
    entries = topic.read(READ_S)
    if not entries:
        raise TransientError(
            f"Kafka gave nothing for {READ_S:.0f} s at {where}; give the same command again.",
            RETRY_S,
        )
    return entries
