"""Large values in pieces, each piece a key of its own; a value is there when all its pieces are.

Keys of one kind, under the chain's prefix::

    KIND:held             hash: name -> bytes, of the values that are complete
    KIND:begun            hash: name -> bytes, of those that somebody is writing, or was when he crashed
    KIND:piece:NAME:I     piece I

No piece is ever without its name in one of the two hashes, because it is written in one transaction with it:
so whoever forgets a name finds all its pieces, whatever crashed before. Names stand for contents, so two who
write the same value write the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator

from flobc.adapters.redis.client import RETRY_DELAY_S, RedisClient
from flobc.errors import DataError, TransientError

MAX_VALUE_BYTES = 1 << 32
"""Longest value that is read: what is longer would not fit a reader's memory."""
_BATCH_BYTES = 1 << 20
"""How many bytes travel in one transaction or MGET: of 64 KiB to 8 MiB, 1 to 2 MiB were fastest for a model of
4.8 MB; the server copies what it queues, and small batches wait for each other's answers."""
_ATTEMPTS = 4

_FINISH = """
local size, width = tonumber(ARGV[2]), tonumber(ARGV[3])
for i = 0, math.ceil(size / width) - 1 do
  local expected = math.min(width, size - i * width)
  if redis.call('STRLEN', KEYS[3] .. i) ~= expected then return 0 end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
redis.call('HDEL', KEYS[2], ARGV[1])
return 1
"""
_FORGET = """
local size = math.max(
  tonumber(redis.call('HGET', KEYS[1], ARGV[1]) or 0) or 0, tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or 0) or 0)
for i = 0, math.ceil(size / tonumber(ARGV[2])) - 1 do redis.call('UNLINK', KEYS[3] .. i) end
redis.call('HDEL', KEYS[1], ARGV[1])
redis.call('HDEL', KEYS[2], ARGV[1])
"""


class PagedValues:
    """Byte strings by name, cut into pieces of ``piece_bytes``; every method raises TransientError."""

    def __init__(self, client: RedisClient, kind: str, piece_bytes: int) -> None:
        self._client = client
        self._kind = kind
        self._piece_bytes = piece_bytes
        self.held = client.key(kind, "held")
        self._begun = client.key(kind, "begun")
        self._finish = client.prepare(_FINISH)
        self._forget = client.prepare(_FORGET)

    def put(self, name: str, data: bytes | memoryview) -> None:
        """Keep a value. It is written even if it is held, which mends one that was damaged."""
        for _ in range(_ATTEMPTS):
            for commands in self._list_batches(name, memoryview(data)):
                self._client.write_together([("HSET", self._begun, name, len(data)), *commands])
            if self._finish(self._get_keys(name), [name, len(data), self._piece_bytes]):
                return
        raise TransientError(
            f"Redis at {self._client.address} lost pieces of {self._kind} {name} {_ATTEMPTS} times while they were "
            "written, because somebody forgets it at the same time; try again.",
            RETRY_DELAY_S,
        )

    def get(self, name: str) -> bytearray | None:
        """Return a value, or None. **Raises** DataError when a piece is missing or has the wrong length."""
        found = self._client.call("HGET", self.held, name)
        if found is None:
            return None
        size = self._parse_size(name, found)
        data = bytearray(size)
        offset = 0
        step = max(1, _BATCH_BYTES // self._piece_bytes)
        count = -(-size // self._piece_bytes)
        for first in range(0, count, step):
            keys = [self._get_piece_key(name, index) for index in range(first, min(first + step, count))]
            for index, piece in enumerate(self._client.call("MGET", *keys), first):
                expected = min(self._piece_bytes, size - offset)
                if piece is None or len(piece) != expected:
                    self._require_forgotten(name, index, expected, piece)
                    return None
                data[offset : offset + expected] = piece
                offset += expected
        return data

    def has(self, name: str) -> bool:
        """Return whether a value was completed and not forgotten, without reading it."""
        return bool(self._client.call("HEXISTS", self.held, name))

    def get_piece(self, name: str, index: int) -> bytes | None:
        """Return one piece of a complete value, or None when the value is not held or has no such piece."""
        if index < 0:
            return None
        piece: bytes | None = self._client.call("GET", self._get_piece_key(name, index))
        return piece if self._client.call("HEXISTS", self.held, name) else None

    def forget(self, name: str) -> None:
        """Forget a value and all its pieces, also if it was never completed."""
        self._forget(self._get_keys(name), [name, self._piece_bytes])

    def keep_only(self, names: frozenset[str]) -> None:
        """Forget every value but these, and what crashed writers left of others."""
        # begun first: what moves from there to held meanwhile is then seen twice and not missed
        found = [*self._client.call("HKEYS", self._begun), *self._client.call("HKEYS", self.held)]
        for name in sorted({key.decode() for key in found} - names):
            self.forget(name)

    def _list_batches(self, name: str, data: memoryview) -> Iterator[list[tuple[str, str, memoryview]]]:
        width = self._piece_bytes
        step = width * max(1, _BATCH_BYTES // width)
        for start in range(0, len(data), step):
            stop = min(start + step, len(data))
            yield [
                ("SET", self._get_piece_key(name, offset // width), data[offset : min(offset + width, stop)])
                for offset in range(start, stop, width)
            ]

    def _get_piece_key(self, name: str, index: int | str) -> str:
        return self._client.key(self._kind, "piece", name, index)

    def _get_keys(self, name: str) -> list[str]:
        return [self.held, self._begun, self._get_piece_key(name, "")]

    def _parse_size(self, name: str, found: bytes) -> int:
        if not found.isdigit() or int(found) > MAX_VALUE_BYTES:
            raise DataError(
                f"The size of {self._kind} {name} in Redis at {self._client.address} is damaged; put it again."
            )
        return int(found)

    def _require_forgotten(self, name: str, index: int, expected: int, piece: bytes | None) -> None:
        """Check that a value with a gap was forgotten while it was read. **Raises** DataError when it is damaged."""
        if self._client.call("HEXISTS", self.held, name):
            found = "nothing" if piece is None else f"{len(piece)} bytes"
            raise DataError(
                f"Piece {index} of {self._kind} {name} in Redis at {self._client.address} is damaged: expected "
                f"{expected} bytes, found {found}; put it again."
            )
