"""Certified blocks: one head, one entry per height with header and certificate, the body in pages.

::

    head            "HEIGHT HEADER_DIGEST"; absent while there is only the genesis
    block:HEIGHT    SHA-256 of the rest, then the encoded entry
    body:...        pages (see ``paged``), by height and SHA-256, written before the head names them
"""

from __future__ import annotations

import dataclasses
from hashlib import sha256

from flobc.adapters.redis.client import RETRY_DELAY_S, RedisClient
from flobc.adapters.redis.paged import PagedValues
from flobc.errors import DataError, RemoteProtocolError, TransientError
from flobc.protocol.chain.block import EMPTY_BODY, Block, Body, compute_header_digest
from flobc.protocol.encoding import Digest, decode, encode

PAGE_BYTES = 512 * 1024
_APPENDED, _BEHIND, _BODY_LOST = 1, 0, -1

_APPEND = f"""
local head = redis.call('GET', KEYS[1]) or ARGV[1]
if head ~= ARGV[2] then return {_BEHIND} end
if redis.call('HEXISTS', KEYS[3], ARGV[5]) == 0 then return {_BODY_LOST} end
redis.call('SET', KEYS[2], ARGV[4])
redis.call('SET', KEYS[1], ARGV[3])
return {_APPENDED}
"""


@dataclasses.dataclass(frozen=True)
class _Entry:
    """A block without its body, and the SHA-256 of the encoded body."""

    block: Block
    body: Digest


MAX_DIGITS = 20
"""Digits of the greatest height there can be."""


class RedisBlocks:
    """Blocks that several replicas append to; the server decides who is first. Every method raises TransientError."""

    def __init__(self, client: RedisClient, genesis_header_digest: bytes) -> None:
        self._client = client
        self._genesis = _name_head(0, genesis_header_digest)
        self._bodies = PagedValues(client, "body", PAGE_BYTES)
        self._append = client.prepare(_APPEND)

    def append(self, block: Block) -> bool:
        """Add the next block if the head is its parent.

        **Raises** TransientError also when the answer was lost: then the block may or may not be there.
        """
        parent = _name_head(block.height - 1, block.header.parent)
        if (self._client.call("GET", self._client.key("head")) or self._genesis.encode()) != parent.encode():
            return False
        body = encode(block.body)
        entry = _Entry(dataclasses.replace(block, body=EMPTY_BODY), sha256(body).digest())
        name = _name_body(block.height, entry.body)
        self._bodies.put(name, body)
        data = encode(entry)
        found = self._append(
            [self._client.key("head"), self._get_key(block.height), self._bodies.held],
            [
                self._genesis,
                parent,
                _name_head(block.height, compute_header_digest(block.header)),
                sha256(data).digest() + data,
                name,
            ],
        )
        if found == _BODY_LOST:
            raise TransientError(
                f"Redis at {self._client.address} lost the body of block {block.height} before its head was written; "
                "append the block again.",
                RETRY_DELAY_S,
            )
        if found == _BEHIND:
            self._forget_unused_body(block.height, entry.body)
        return bool(found == _APPENDED)

    def get(self, height: int) -> Block | None:
        """Return the block at a height, or None. **Raises** DataError when it is damaged."""
        entry = self._read_entry(height)
        if entry is None:
            return None
        data = self._bodies.get(_name_body(height, entry.body))
        if data is None or sha256(data).digest() != entry.body:
            raise self._build_damage(height, "its body is gone" if data is None else "its body has another digest")
        try:
            return dataclasses.replace(entry.block, body=decode(Body, bytes(data)))
        except RemoteProtocolError as error:
            raise self._build_damage(height, str(error)) from error

    @property
    def height(self) -> int:
        """The newest block's height. **Raises** DataError when the head is damaged."""
        return self._parse_height(self._client.call("GET", self._client.key("head")))

    def _parse_height(self, head: bytes | None) -> int:
        number, _, digest = (self._genesis.encode() if head is None else head).partition(b" ")
        if not number.isdigit() or len(number) > MAX_DIGITS or len(digest) != 64:
            raise DataError(
                f"The chain's head in Redis at {self._client.address} is damaged; rebuild the store from the log."
            )
        return int(number)

    def _get_key(self, height: int) -> str:
        return self._client.key("block", height)

    def _read_entry(self, height: int) -> _Entry | None:
        if height < 1:
            return None
        data, head = self._client.call("MGET", self._get_key(height), self._client.key("head"))
        if data is None:
            if height <= self._parse_height(head):
                raise self._build_damage(height, "it is gone and the head is not")
            return None
        if sha256(data[32:]).digest() != data[:32]:
            raise self._build_damage(height, "it has another digest")
        try:
            return decode(_Entry, data[32:])
        except RemoteProtocolError as error:
            raise self._build_damage(height, str(error)) from error

    def _forget_unused_body(self, height: int, digest: bytes) -> None:
        """Take away what we wrote for a block that another replica was first with, unless it is the same body."""
        entry = self._read_entry(height)
        if entry is not None and entry.body != digest:
            self._bodies.forget(_name_body(height, digest))

    def _build_damage(self, height: int, why: str) -> DataError:
        return DataError(
            f"Block {height} in Redis at {self._client.address} is damaged ({why}); rebuild the store from the log."
        )


def _name_head(height: int, digest: bytes) -> str:
    return f"{height} {digest.hex()}"


def _name_body(height: int, digest: bytes) -> str:
    return f"{height}:{digest.hex()}"
