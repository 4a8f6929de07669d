"""Reading records of a batch as strangers may have written them: a broker takes any headers, in any number.

The library copies each value twice, makes a tuple of every header, half a million of which fit into a record, and calls
the whole topic broken for a header whose name is no text. Here a record's value is copied once, the first few
headers are looked at, and of these the ones that say where the record belongs (``tracing``) are kept.
"""

from __future__ import annotations

from typing import Any

from kafka.errors import CorruptRecordError  # type: ignore[import-untyped]
from kafka.record.default_records import (  # type: ignore[import-untyped]
    ControlRecord,
    DefaultRecord,
    DefaultRecordBatch,
)
from kafka.record.util import decode_varint  # type: ignore[import-untyped]

from flobc.adapters.kafka.tracing import HEADER
from flobc.ports.tracing import MAX_TRACES

_NAME = HEADER.encode()
_LONGEST = 256
"""No place in a trace is longer; a longer value counts as an empty one."""


def read_records_sparingly() -> None:
    """Have the library read records by ``read_record`` from now on."""
    DefaultRecordBatch._read_msg = read_record


def read_record(batch: Any) -> Any:
    """Return the record at which a batch stands, and go on to the next one. **Raises** CorruptRecordError."""
    buffer = memoryview(batch._buffer)
    length, start = decode_varint(buffer, batch._pos)
    end = start + length
    _, at = decode_varint(buffer, start)  # attributes
    later_ms, at = decode_varint(buffer, at)
    delta, at = decode_varint(buffer, at)
    key, at = _read_bytes(buffer, at)
    value, at = _read_bytes(buffer, at)
    if not start <= at <= end <= len(buffer):
        raise CorruptRecordError(f"A record of {length} bytes does not end where its batch says.")
    batch._pos = end
    by_broker = batch.timestamp_type == batch.LOG_APPEND_TIME
    time_ms = batch.max_timestamp if by_broker else batch.first_timestamp + later_ms
    kind = ControlRecord if batch.is_control_batch else DefaultRecord
    offset = batch.base_offset + delta
    return kind(length, offset, time_ms, batch.timestamp_type, key, value, _read_traces(buffer[:end], at))


def _read_bytes(buffer: memoryview, at: int) -> tuple[bytes | None, int]:
    """Bytes with their length before them, None for a negative one, and where they end."""
    size, at = decode_varint(buffer, at)
    return (None, at) if size < 0 else (bytes(buffer[at : at + size]), at + size)


def _read_traces(record: memoryview, at: int) -> list[tuple[str, bytes]]:
    """The values of the headers named ``HEADER`` among a record's first ones; what cannot be read ends the list."""
    found: list[tuple[str, bytes]] = []
    try:
        count, at = decode_varint(record, at)
        for _ in range(min(count, MAX_TRACES)):
            size, at = decode_varint(record, at)
            name, at = record[at : at + max(size, 0)], at + max(size, 0)
            size, at = decode_varint(record, at)
            value, at = record[at : at + max(size, 0)], at + max(size, 0)
            if name == _NAME:
                found.append((HEADER, bytes(value) if size <= _LONGEST else b""))
    except (ValueError, IndexError):
        pass
    return found
