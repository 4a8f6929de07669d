"""Records that a broker takes and the library would not read."""

from __future__ import annotations

import struct

from kafka.record import MemoryRecords  # type: ignore[import-untyped]
from kafka.record.default_records import DefaultRecordBatchBuilder  # type: ignore[import-untyped]
from kafka.record.util import calc_crc32c  # type: ignore[import-untyped]

from flobc.adapters.kafka.reading import read_any_headers

CRC_AT, COVERED_FROM = 17, 21


def build_batch(is_spoilt: bool = True, count: int = 3) -> bytes:
    """Some records, each second one with a header; is it spoilt, its name is no UTF-8. The checksum is right."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1 << 20,
    )
    for number in range(count):
        headers = [("K", b"v")] if number % 2 else []
        builder.append(number, timestamp=1, key=None, value=f"value {number}".encode(), headers=headers)
    raw = bytearray(builder.build())
    if is_spoilt:
        raw[raw.rindex(b"K")] = 0xFF
    struct.pack_into(">I", raw, CRC_AT, calc_crc32c(memoryview(raw)[COVERED_FROM:]))
    return bytes(raw)


def test_a_header_that_is_no_text_makes_its_record_an_empty_one_and_no_other() -> None:
    read_any_headers()
    read_any_headers()
    batch = MemoryRecords(build_batch()).next_batch()
    assert batch.validate_crc()
    assert [(record.offset, record.value) for record in batch] == [(0, b"value 0"), (1, b""), (2, b"value 2")]


def test_a_record_with_headers_keeps_its_value() -> None:
    read_any_headers()
    batch = MemoryRecords(build_batch(is_spoilt=False)).next_batch()
    assert [(record.value, record.headers) for record in batch] == [
        (b"value 0", []),
        (b"value 1", [("K", b"v")]),
        (b"value 2", []),
    ]


def test_a_batch_is_copied_once_however_many_of_its_records_have_headers() -> None:
    """Else who writes many small ones in a batch would have each reader copy all of it for each of them."""
    read_any_headers()
    batch = MemoryRecords(build_batch(is_spoilt=False, count=8)).next_batch()
    copies = [batch._buffer for record in batch if record.headers]
    assert len(copies) == 4
    assert all(copy is copies[0] for copy in copies)
