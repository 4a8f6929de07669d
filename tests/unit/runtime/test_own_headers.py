"""A trainer without memory reads back what it signed, and believes its own signature alone (ROUND-2)."""

from __future__ import annotations

import dataclasses
import threading

import pytest

from flobc.adapters.filesystem import FileLastHeader
from flobc.adapters.memory import MemoryBroker
from flobc.errors import DataError, TransientError
from flobc.ports.topics import Entry
from flobc.protocol.messages import UpdateHeader, encode_record, sign
from flobc.runtime.own_headers import QUIET_READS, find_last_headers
from flobc.runtime.transfer import build_records
from tests.support.dialogue import identity
from tests.support.payloads import build_payload

CHAIN = bytes(32)
KEYS = [identity("trainer", index).public_key for index in range(3)]


def find(broker: MemoryBroker, keys: list[bytes]) -> dict[bytes, tuple[int, int]]:
    found = find_last_headers(broker.open("updates", 2), CHAIN, keys, threading.Event())
    return {key: (header.base_height, header.k) for key, header in found.items()}


def fill(broker: MemoryBroker, *identities: tuple[int, int, int]) -> None:
    topic = broker.open("updates", 2)
    for trainer, base, k in identities:
        for record in build_records(build_payload(trainer, base, k)):
            topic.append(KEYS[trainer], record)


def test_the_highest_identity_is_found_whatever_the_order() -> None:
    broker = MemoryBroker()
    assert find(broker, KEYS) == {}
    fill(broker, (0, 3, 0), (0, 4, 1), (0, 4, 0), (1, 9, 0), (0, 2, 2))
    assert find(broker, KEYS) == {KEYS[0]: (4, 1), KEYS[1]: (9, 0)}
    assert find(broker, KEYS[1:]) == {KEYS[1]: (9, 0)}


def test_what_others_wrote_in_a_trainers_name_does_not_count() -> None:
    broker = MemoryBroker()
    fill(broker, (0, 3, 0))
    header = build_payload(0, 7).header
    forged = dataclasses.replace(header, signature=bytes(64))
    elsewhere = sign(dataclasses.replace(header, chain=b"\1" * 32), identity("trainer", 0))
    topic = broker.open("updates", 2)
    for value in (encode_record(forged), encode_record(elsewhere), b"\xff junk"):
        topic.append(KEYS[0], value)
    assert find(broker, KEYS) == {KEYS[0]: (3, 0)}


def test_a_topic_that_is_away_is_no_empty_topic() -> None:
    broker = MemoryBroker()
    topic = broker.open("updates", 2)
    broker.set_away(True)
    with pytest.raises(TransientError):
        find_last_headers(topic, CHAIN, KEYS, threading.Event())


class DeletedRecords:
    """A topic whose only record's time has run out; reads give nothing."""

    partitions = 1

    def __init__(self) -> None:
        self.reads = 0

    def ends(self) -> dict[int, int]:
        return {0: 5}

    def seek(self, positions: object) -> None:
        pass

    def read(self, timeout_s: float) -> list[Entry]:
        self.reads += 1
        return []


def test_deleted_records_are_not_waited_for_for_ever() -> None:
    topic, stopping = DeletedRecords(), threading.Event()
    assert find_last_headers(topic, CHAIN, KEYS, stopping) == {}  # type: ignore[arg-type]
    assert topic.reads == QUIET_READS
    stopping.set()
    find_last_headers(topic, CHAIN, KEYS, stopping)  # type: ignore[arg-type]
    assert topic.reads == QUIET_READS


@pytest.fixture
def kept(tmp_path) -> FileLastHeader:  # type: ignore[no-untyped-def]
    return FileLastHeader(tmp_path / "signed", CHAIN, KEYS[0])


def build_header(base: int, k: int) -> UpdateHeader:
    return build_payload(0, base, k).header


def test_only_a_higher_header_takes_the_files_place(kept: FileLastHeader) -> None:
    assert kept.load() is None
    for header, held in (((2, 1), (2, 1)), ((2, 0), (2, 1)), ((1, 7), (2, 1)), ((3, 0), (3, 0))):
        kept.save(build_header(*header))
        found = kept.load()
        assert found is not None
        assert (found.base_height, found.k) == held
    assert found == build_header(3, 0)


def test_a_damaged_or_strange_file_is_not_taken(kept: FileLastHeader) -> None:
    kept.save(build_header(2, 0))
    path = kept._path
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(DataError, match="damaged"):
        kept.load()
    path.write_bytes(encode_record(build_payload(1, 2, 0).header))
    with pytest.raises(DataError, match="no header of this trainer"):
        kept.load()
