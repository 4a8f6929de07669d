"""Requests counted and timed, by the page that they are for."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.routing import Mount, Route

from flobc.ports.metrics import Meter

OTHER = "other"
"""What asks for no page of ours: whatever strangers ask for must not become a label."""
STREAM = b"text/event-stream"

Site = Callable[..., Awaitable[None]]


def counted(site: Site, routes: Sequence[Route | Mount], meter: Meter) -> Site:
    """Return the application that enters each answer of ``site`` into ``meter``; a page goes by its route's path."""
    names = {item.app if isinstance(item, Mount) else item.endpoint: item.path for item in routes}

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await site(scope, receive, send)
            return
        start_s = time.monotonic()
        is_measured = False

        def measure() -> None:
            nonlocal is_measured
            if not is_measured:
                is_measured = True
                page = names.get(scope.get("endpoint"), OTHER)
                meter.observe("flobc_web_request_seconds", time.monotonic() - start_s, page=page)

        async def send_and_count(message: Any) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                page = names.get(scope.get("endpoint"), OTHER)
                meter.add("flobc_web_requests_total", page=page, status=str(message["status"]))
                if any(name == b"content-type" and STREAM in value for name, value in message.get("headers", ())):
                    measure()  # it lasts as long as somebody watches
            elif not message.get("more_body", False):
                measure()

        await site(scope, receive, send_and_count)

    return answer
