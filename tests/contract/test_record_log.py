"""RecordLog: append-only, in order, and read while it grows."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.errors import LocalProtocolError
from flobc.ports.records import RecordLog
from tests.contract.conftest import Adapter, build_filesystem, build_memory

RECORDS = st.lists(st.binary(min_size=1, max_size=300), max_size=20)


@pytest.fixture
def log(adapter: Adapter) -> RecordLog:
    return adapter.log()


def test_is_empty_at_first(log: RecordLog) -> None:
    assert len(log) == 0
    assert list(log.read()) == []


def test_offsets_count_from_zero(log: RecordLog) -> None:
    assert [log.append(bytes([number])) for number in range(1, 4)] == [0, 1, 2]
    assert len(log) == 3


@pytest.mark.parametrize("kind", ["memory", "filesystem"])
@given(records=RECORDS, start=st.integers(0, 25))
def test_reads_what_was_appended_from_any_offset(
    kind: str, records: list[bytes], start: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    adapter = build_memory() if kind == "memory" else build_filesystem(tmp_path_factory.mktemp("log"))
    log = adapter.log()
    for record in records:
        log.append(record)
    assert list(log.read(start)) == records[start:]
    assert list(adapter.log().read(start)) == records[start:]


def test_reads_to_the_end_that_was_there_when_reading_began(log: RecordLog) -> None:
    """A node publishes while it reads: what it adds is read next time, once."""
    log.append(b"first")
    seen = []
    for record in log.read():
        seen.append(record)
        log.append(b"answer to " + record)
    assert seen == [b"first"]
    assert list(log.read(1)) == [b"answer to first"]


def test_same_record_twice_stands_twice(log: RecordLog) -> None:
    assert [log.append(b"same"), log.append(b"same")] == [0, 1]


def test_invalid_empty_record_is_refused(log: RecordLog) -> None:
    """WIRE-10: it says nothing, and in a file it would pass for the zeros of a power cut."""
    with pytest.raises(LocalProtocolError, match="WIRE-10"):
        log.append(b"")
    assert len(log) == 0


def test_what_was_appended_is_there_when_opened_again(adapter: Adapter, tmp_path: Path) -> None:
    """A killed process closes nothing."""
    first = adapter.log()
    first.append(b"one")
    again = adapter.log()
    again.append(b"two")
    assert list(adapter.log().read()) == [b"one", b"two"]
