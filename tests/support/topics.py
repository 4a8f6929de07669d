"""Reading topics in tests: wait for records, not for time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

from flobc.errors import TransientError
from flobc.ports.topics import Entry, Topic

Result = TypeVar("Result")

PATIENCE_S = 60.0
"""For what must happen; a busy machine is not a failing test."""


def read_entries(topic: Topic, count: int) -> list[Entry]:
    """The next ``count`` records, or those that came before patience ended."""
    found: list[Entry] = []
    until_s = time.monotonic() + PATIENCE_S
    while len(found) < count and time.monotonic() < until_s:
        found += topic.read(1)
    return found


def append_all(topic: Topic, records: Iterable[tuple[bytes, bytes]]) -> None:
    """Append key and value of each and wait until all are acknowledged."""
    for future in [topic.append(key, value) for key, value in records]:
        future.result(PATIENCE_S)


def append_one(topic: Topic, value: bytes) -> None:
    """Append a record and wait until it is acknowledged, or raise what it came to."""
    topic.append(b"key", value).result(PATIENCE_S)


def keep_trying(action: Callable[[], Result]) -> Result:
    """Do it again while it fails for the moment."""
    until_s = time.monotonic() + PATIENCE_S
    while True:
        try:
            return action()
        except TransientError as error:
            if time.monotonic() > until_s:
                raise
            time.sleep(min(error.delay_s, 0.2))


def read_whole(topic: Topic) -> Iterator[Entry]:
    """Every record that a topic holds now, from the first on."""
    ends = topic.ends()
    topic.seek({})
    left = {number for number, end in ends.items() if end > 0}
    while left:
        for entry in keep_trying(lambda: topic.read(1)):
            if entry.offset + 1 >= ends.get(entry.partition, 0):
                left.discard(entry.partition)
            yield entry
