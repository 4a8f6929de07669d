"""Records that a broker takes and the library would not read."""

from __future__ import annotations

import contextlib
import struct
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.errors import CorruptRecordError  # type: ignore[import-untyped]
from kafka.record import MemoryRecords  # type: ignore[import-untyped]
from kafka.record.default_records import DefaultRecordBatchBuilder  # type: ignore[import-untyped]
from kafka.record.util import calc_crc32c  # type: ignore[import-untyped]

from flobc.adapters.kafka.records import read_records_sparingly
from flobc.adapters.kafka.tracing import HEADER
from flobc.ports.tracing import MAX_TRACES

CRC_AT, COVERED_FROM = 17, 21


Headers = Sequence[tuple[str, bytes | None]]


def build_batch(headers: Headers, *, is_spoilt: bool = False, count: int = 3) -> bytes:
    """Some records, each second one with headers; are they spoilt, a name is no UTF-8. The checksum is right."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 22,
    )
    for number in range(count):
        mine = list(headers) if number % 2 else []
        builder.append(number, timestamp=1, key=None, value=f"value {number}".encode(), headers=mine)
    raw = bytearray(builder.build())
    if is_spoilt:
        raw[raw.rindex(b"K")] = 0xFF
    return seal(raw)


def seal(raw: bytearray) -> bytes:
    """Make the checksum right."""
    struct.pack_into(">I", raw, CRC_AT, calc_crc32c(memoryview(raw)[COVERED_FROM:]))
    return bytes(raw)


def read(raw: bytes) -> list[tuple[int, bytes, list[tuple[str, bytes]]]]:
    read_records_sparingly()
    batch = MemoryRecords(raw).next_batch()
    assert batch.validate_crc()
    return [(record.offset, record.value, record.headers) for record in batch]


def test_records_keep_their_values_whatever_their_headers_are() -> None:
    for is_spoilt in (True, False):
        values = [(offset, value) for offset, value, _ in read(build_batch([("K", b"v")], is_spoilt=is_spoilt))]
        assert values == [(0, b"value 0"), (1, b"value 1"), (2, b"value 2")]


def test_headers_that_name_a_trace_are_kept_in_their_order() -> None:
    headers = [(HEADER, b"a"), ("other", b"b"), (HEADER, b""), (HEADER, None), (HEADER, bytes(300)), ("", b"")]
    kept = [found for _, _, found in read(build_batch(headers))]
    assert kept == [[], [(HEADER, b"a"), (HEADER, b""), (HEADER, b""), (HEADER, b"")], []]


@pytest.mark.parametrize("headers", [[("", b"")] * 200_000, [(HEADER, b"x")] * 50_000], ids=["nameless", "traces"])
def test_of_many_headers_few_are_looked_at(headers: list[tuple[str, bytes]]) -> None:
    """A megabyte holds half a million of them, and anybody who may write may send as many such records as he likes."""
    raw = build_batch(headers)
    tracemalloc.start()
    try:
        found = read(raw)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert [value for _, value, _ in found] == [b"value 0", b"value 1", b"value 2"]
    assert len(found[1][2]) <= MAX_TRACES
    assert most_bytes < 2 * len(raw) + 100_000


@given(st.integers(0, 60), st.integers(0, 255))
def test_a_spoilt_record_is_refused_or_read_and_nothing_else(at: int, byte: int) -> None:
    """The records' own bytes, after a batch's 61 of header; a broker's checksum does not protect from its writer."""
    raw = bytearray(build_batch([("K", b"v")]))
    raw[61 + at % (len(raw) - 61)] = byte
    seal(raw)
    with contextlib.suppress(CorruptRecordError):
        assert all(isinstance(value, bytes) or value is None for _, value, _ in read(bytes(raw)))
