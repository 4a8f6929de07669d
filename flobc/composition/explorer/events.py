"""Server-sent events: what is rendered once goes to every viewer who watches."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable

MIN_GAP_S = 0.5
"""Least time between two events: a chain may make blocks faster than people read."""
BEAT_S = 15.0
"""How often a quiet stream says that it is there, for proxies close what is silent."""
RETRY_MS = 2_000


def encode_event(data: object) -> bytes:
    """Return one event with JSON data."""
    return f"data: {json.dumps(data)}\n\n".encode()


class Hub:
    """Hands the newest event to every stream; one that is slow misses those between. Lives on one event loop.

    ``on_viewers`` is told how many watch whenever that changes.
    """

    def __init__(self, render: Callable[[], object], on_viewers: Callable[[int], None] = lambda _: None) -> None:
        self._render, self._on_viewers = render, on_viewers
        self._changed = asyncio.Event()
        self._streams: set[asyncio.Event] = set()
        self._newest = b""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._closed = False

    @property
    def streams(self) -> int:
        """How many viewers watch."""
        return len(self._streams)

    async def run(self) -> None:
        """Render an event after changes, until cancelled."""
        self._loop = asyncio.get_running_loop()
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._streams:
                self._publish()
            await asyncio.sleep(MIN_GAP_S)

    def notify(self) -> None:
        """Something changed; from any thread."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._changed.set)

    def close(self) -> None:
        """End all streams; from any thread."""
        self._closed = True
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(self._wake)

    async def stream(self) -> AsyncIterator[bytes]:
        """Yield the state now and then each change, until the hub is closed or the viewer leaves."""
        woken = asyncio.Event()
        self._streams.add(woken)
        self._on_viewers(len(self._streams))
        try:
            yield f"retry: {RETRY_MS}\n\n".encode()
            yield encode_event(self._render())
            while not self._closed:
                try:
                    async with asyncio.timeout(BEAT_S):
                        await woken.wait()
                except TimeoutError:
                    yield b": still here\n\n"
                    continue
                woken.clear()
                if not self._closed:
                    yield self._newest
        finally:
            self._streams.discard(woken)
            self._on_viewers(len(self._streams))

    def _publish(self) -> None:
        self._newest = encode_event(self._render())
        self._wake()

    def _wake(self) -> None:
        for woken in self._streams:
            woken.set()
