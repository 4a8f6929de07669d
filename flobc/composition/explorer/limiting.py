"""What strangers may hold open: connections, requests that are not whole yet, and live streams."""

from __future__ import annotations

import asyncio
import resource
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import h11
from starlette.responses import StreamingResponse
from uvicorn.protocols.http.h11_impl import H11Protocol

HEAD_S = 10.0
"""How long a request's headers may take from their first byte on, or a new connection to send any."""
BODY_S = 90.0
"""How long its body may take: somebody sends a file over a slow line."""
MAX_CONNECTIONS = 2_000
MAX_STREAMS, MAX_STREAMS_EACH = 1_000, 400
"""Live streams in all and of one address; many, for behind a proxy all viewers have the proxy's."""


def get_most_connections() -> int:
    """Return how many connections are served at once: at most half of the files that this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_CONNECTIONS if soft == resource.RLIM_INFINITY else min(MAX_CONNECTIONS, soft // 2)


class PunctualProtocol(H11Protocol):
    """HTTP/1.1 for those who send whole requests in time; the others are hung up on."""

    _deadline: asyncio.TimerHandle | None = None
    _awaited: Any = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin a connection, unless even those who are told that there are too many are too many."""
        super().connection_made(transport)
        if self.limit_concurrency is not None and len(self.connections) > self.limit_concurrency * 5 // 4:
            transport.abort()
        else:
            self._set_deadline()

    def data_received(self, data: bytes) -> None:
        """Take bytes; what they complete is awaited no more."""
        super().data_received(data)
        self._set_deadline()

    def on_response_complete(self) -> None:
        """Go on with the next request, of which a part may have come already."""
        super().on_response_complete()
        if self.conn.trailing_data[0]:
            self._set_deadline()

    def connection_lost(self, exc: Exception | None) -> None:
        """End a connection."""
        super().connection_lost(exc)
        self._clear_deadline()

    def _set_deadline(self) -> None:
        """Each part of a request has one time from its first byte on, however often bytes of it come."""
        awaited = self.conn.their_state
        if awaited is self._awaited:
            return
        self._clear_deadline()
        limit_s = {h11.IDLE: HEAD_S, h11.SEND_BODY: BODY_S}.get(awaited)
        if limit_s is not None:
            self._awaited = awaited
            self._deadline = self.loop.call_later(limit_s, self.transport.abort)

    def _clear_deadline(self) -> None:
        self._awaited = None
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None


class Seats:
    """Counts who watches live, in all and by address; lives on one event loop."""

    def __init__(self) -> None:
        self._taken: Counter[str] = Counter()

    def take(self, address: str) -> bool:
        """Return whether there is one more for an address; then ``leave`` gives it back."""
        if self._taken.total() >= MAX_STREAMS or self._taken[address] >= MAX_STREAMS_EACH:
            return False
        self._taken[address] += 1
        return True

    def leave(self, address: str) -> None:
        """Give one back."""
        self._taken[address] -= 1
        self._taken += Counter()  # forgets addresses that have none


class EventStream(StreamingResponse):
    """Server-sent events on a seat that was taken; it is given back however the stream ends."""

    def __init__(self, stream: AsyncIterator[bytes], seats: Seats, address: str) -> None:
        # x-accel-buffering: a proxy that gathers what is streamed would make it late
        super().__init__(stream, headers={"x-accel-buffering": "no"}, media_type="text/event-stream")
        self._seats, self._address = seats, address

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send events until the viewer leaves or the stream ends."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._seats.leave(self._address)
