"""What many calls read at once is read from the store once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import WeakValueDictionary

from flobc.adapters.grpc.wire import encode_certified
from flobc.errors import DataError, FlobcError, TransientError
from flobc.ports.blocks import BlockStore

POLL_S = 1.0
"""How often the head is looked at when nobody says that it moved: another replica may have written."""
CACHED_BLOCKS = 256
"""Headers with certificates kept as bytes: some ten of KiB each at most, and followers are near the head."""

V = TypeVar("V")


class SharedReads(Generic[V]):
    """Large values by digest; readers of the same one share it for as long as any of them needs it."""

    def __init__(self, read: Callable[[bytes], V | None]) -> None:
        self._read = read
        self._values: WeakValueDictionary[bytes, V] = WeakValueDictionary()
        self._reads: dict[bytes, asyncio.Task[V | None]] = {}

    async def get(self, digest: bytes) -> V | None:
        """Return the value, or None; raises what the store raises."""
        value = self._values.get(digest)
        if value is not None:
            return value
        read = self._reads.get(digest)
        if read is None:
            read = self._reads[digest] = asyncio.create_task(asyncio.to_thread(self._read, digest))
            read.add_done_callback(lambda _: self._reads.pop(digest))
        value = await asyncio.shield(read)
        if value is not None:
            self._values[digest] = value
        return value


class CertifiedBlocks:
    """Headers with certificates as bytes, each read once however many follow, and the news of new ones."""

    def __init__(self, blocks: BlockStore) -> None:
        self._blocks = blocks
        self._encoded: dict[int, asyncio.Task[bytes | None]] = {}
        self._head = 0
        self._away: TransientError | None = None
        self._stopped = False
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()

    async def watch(self) -> None:
        """Look at the head at once when woken and every ``POLL_S`` otherwise, until stopped."""
        while not self._stopped:
            self._wake.clear()
            try:
                head, away = await asyncio.to_thread(lambda: self._blocks.height), None
            except (FlobcError, OSError) as error:  # also what no trying again mends now: a password may be put right
                head, away = self._head, TransientError(f"The block store cannot be reached: {error}.", POLL_S)
            if head > self._head or (away is None) != (self._away is None):
                self._head, self._away = max(head, self._head), away
                self._announce()
            try:
                async with asyncio.timeout(POLL_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    def notify(self, height: int) -> None:
        """The block at a height may be there now: look at once."""
        if height > self._head:
            self._wake.set()

    def stop(self) -> None:
        """Let go of everybody who waits."""
        self._stopped = True
        self._wake.set()
        self._announce()

    async def wait_for(self, height: int) -> bool:
        """Wait until the block at a height is there; False when this server stops before.

        **Raises** TransientError while the store cannot be reached, so that who waits goes elsewhere.
        """
        while not self._stopped:
            if self._away is not None:
                raise self._away
            if height <= self._head:
                return True
            await self._changed.wait()
        return False

    async def read_head(self) -> int:
        """Return the store's newest height."""
        return await asyncio.to_thread(lambda: self._blocks.height)

    async def get(self, height: int) -> bytes | None:
        """Return header and certificate at a height, or None; raises what the store raises."""
        read = self._encoded.get(height)
        if read is None:
            read = self._encoded[height] = asyncio.create_task(asyncio.to_thread(self._read, height))
            read.add_done_callback(lambda done: self._forget(height, done))
        return await asyncio.shield(read)

    def _read(self, height: int) -> bytes | None:
        block = self._blocks.get(height)
        if block is not None and block.height != height:
            raise DataError(f"The store holds block {block.height} in the place of block {height}; rebuild it.")
        return None if block is None else encode_certified(block)

    def _forget(self, height: int, done: asyncio.Task[bytes | None]) -> None:
        if done.cancelled() or done.exception() is not None or done.result() is None:
            self._encoded.pop(height, None)
        while len(self._encoded) > CACHED_BLOCKS:
            self._encoded.pop(next(iter(self._encoded)))

    def _announce(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()
