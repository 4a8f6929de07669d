"""A block's outline: how many items each of its lists has, read off its bytes before anything is made of them.

A list of empty items takes a few bytes each on the wire and a hundred in memory, so a server that lies could fill a
reader's with one block. What passes here takes about six times its bytes.
"""

from __future__ import annotations

from flobc.errors import DataError

NUM_DECISIONS_AT = 112
HEADER_BYTES = 249
"""A header up to its loss and accuracy, which may be left out."""
SEAL_BYTES, DECISION_BYTES, VOTE_BYTES = 168, 124, 41
CODEC_AT, AFTER_CODEC_BYTES = 82, 116
"""Where the name of the codec stands in an update's header, the only part without a fixed size, and what follows it."""
EVIDENCE_BYTES = 2 * 32
"""Less than any two records: each of them holds a key."""


class _Walk:
    """A place in a block's bytes."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def skip(self, size_bytes: int) -> None:
        self._at += size_bytes
        if self._at > len(self._data):
            raise DataError(f"the block ends after {len(self._data)} bytes, in the middle of a list")

    def count(self) -> int:
        self.skip(4)
        return int.from_bytes(self._data[self._at - 4 : self._at], "big")

    def skip_optional(self, size_bytes: int) -> None:
        self.skip(1)
        self.skip(size_bytes if self._data[self._at - 1] else 0)

    @property
    def left_bytes(self) -> int:
        return len(self._data) - self._at


def require_outline(data: bytes) -> None:
    """Check that a block's lists are as long as its header counts, or all empty. **Raises** DataError."""
    walk = _Walk(data)
    walk.skip(HEADER_BYTES)
    walk.skip_optional(8)
    walk.skip_optional(8)
    walk.skip(walk.count() * SEAL_BYTES)
    decisions = walk.count()
    walk.skip(decisions * DECISION_BYTES)
    headers = walk.count()
    if headers == decisions:
        for _ in range(headers):
            walk.skip(CODEC_AT)
            walk.skip(walk.count())
            walk.skip(AFTER_CODEC_BYTES)
    votes = walk.count() if headers == decisions else -1
    counted = int.from_bytes(data[NUM_DECISIONS_AT : NUM_DECISIONS_AT + 4], "big")
    if headers != decisions or votes != decisions or decisions not in (0, counted):
        raise DataError(f"the block's {decisions} decisions differ in number from its header's count, headers or votes")
    for _ in range(votes):
        walk.skip(walk.count() * VOTE_BYTES)
    if walk.count() * EVIDENCE_BYTES > walk.left_bytes:
        raise DataError("the block counts more evidence than it can hold")
