"""What trainers signed before they lost their memory, read back from the updates topic."""

from __future__ import annotations

import logging
import threading
from collections.abc import Collection

from flobc.errors import RemoteProtocolError
from flobc.ports.topics import Topic
from flobc.protocol.messages import UpdateHeader, decode_record, verify_message

READ_S = 1.0
QUIET_READS = 10
"""After so many reads in a row that gave nothing, what is missing of a partition is taken for deleted."""

logger = logging.getLogger(__name__)


def find_last_headers(
    updates: Topic, chain: bytes, trainers: Collection[bytes], stopping: threading.Event
) -> dict[bytes, UpdateHeader]:
    """Return of each trainer the header with the highest (base height, k) that the topic holds by now (ROUND-2).

    Anybody may write there, so only what a trainer has signed counts.

    **Raises** TransientError while the topic cannot be reached, DataError when records are gone midway.
    """
    ends = updates.ends()
    updates.seek({})
    left = {number for number, end in ends.items() if end > 0}
    found: dict[bytes, UpdateHeader] = {}
    quiet = 0
    while left and quiet < QUIET_READS and not stopping.is_set():
        entries = updates.read(READ_S)
        quiet = 0 if entries else quiet + 1
        for entry in entries:
            if entry.offset + 1 >= ends.get(entry.partition, 0):
                left.discard(entry.partition)
            header = _read_header(entry.value)
            if header is None or header.chain != chain or header.trainer not in trainers:
                continue
            last = found.get(header.trainer)
            is_higher = last is None or (header.base_height, header.k) > (last.base_height, last.k)
            if is_higher and verify_message(header):
                found[header.trainer] = header
    if left and not stopping.is_set():
        logger.warning("partitions %s of the updates topic end in deleted records", sorted(left))
    return found


def _read_header(value: bytes) -> UpdateHeader | None:
    try:
        record = decode_record(value)
    except RemoteProtocolError:
        return None
    return record if isinstance(record, UpdateHeader) else None
