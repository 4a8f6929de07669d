"""A log's records come back whole, and only what a crash leaves at the end is passed over."""

import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.adapters.filesystem import FileLog, LogReader, frame_record
from flobc.errors import DataError

RECORDS = st.lists(st.binary(min_size=1, max_size=40), min_size=1, max_size=6)


def read(data: bytes) -> tuple[list[bytes], int]:
    reader = LogReader(io.BytesIO(data), len(data), "log")
    return list(reader), reader.torn_bytes


def frame(records: list[bytes]) -> bytes:
    return b"".join(map(frame_record, records))


@given(RECORDS)
def test_round_trip(records: list[bytes]) -> None:
    assert read(frame(records)) == (records, 0)


@given(RECORDS, st.data())
def test_any_prefix_is_whole_records_and_a_torn_tail(records: list[bytes], data: st.DataObject) -> None:
    whole = frame(records)
    cut = data.draw(st.integers(0, len(whole)))
    found, torn = read(whole[:cut])
    assert found == records[: len(found)]
    assert len(frame(found)) + torn == cut


@given(RECORDS, st.data())
def test_a_flipped_byte_is_never_read_as_a_record(records: list[bytes], data: st.DataObject) -> None:
    content = bytearray(frame(records))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        found, torn = read(bytes(content))
    except DataError:
        return
    assert torn
    assert found == records[: len(found)]
    assert len(found) == len(records) - 1, "damage before the last record must not pass for a torn tail"


@given(RECORDS, st.integers(1, 64))
def test_zeros_of_a_power_cut_are_a_torn_tail(records: list[bytes], zeros: int) -> None:
    assert read(frame(records) + bytes(zeros)) == (records, zeros)


def test_reading_stops_at_the_size_seen_first() -> None:
    data = frame([b"one", b"two"])
    reader = LogReader(io.BytesIO(data + frame([b"three"])), len(data), "log")
    assert list(reader) == [b"one", b"two"]
    assert reader.torn_bytes == 0


def test_a_flipped_length_does_not_cost_the_records_behind_it(tmp_path: Path) -> None:
    path = tmp_path / "log"
    content = bytearray(frame([b"first", b"second", b"third"]))
    content[1] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="damaged at byte 0 with whole records after it"):
        FileLog(path)
    assert path.read_bytes() == content


@pytest.mark.parametrize(
    "tail",
    [b"\0\3\0\3" * (1 << 16), bytes(17 * 1024 * 1024)],
    ids=["every length leads to much hashing", "longer than any crash leaves"],
)
def test_invalid_tail_that_would_keep_the_reader_busy_for_hours(tail: bytes) -> None:
    """Refused, because what might hold records is not cut off; 256 KiB of such lengths would hash 6 GB."""
    with pytest.raises(DataError, match="damaged at byte"):
        read(frame([b"first"]) + b"\xff" + tail)


def test_opening_to_write_cuts_the_torn_tail_off(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(frame([b"first", b"second"])[:-1])
    log = FileLog(path)
    log.append(b"third")
    log.close()
    assert path.read_bytes() == frame([b"first", b"third"])
