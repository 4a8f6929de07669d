"""The web application: routes, security headers, and errors as pages."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from flobc.composition.explorer.asking import is_own_page
from flobc.composition.explorer.counting import counted
from flobc.composition.explorer.events import encode_event
from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.limiting import EventStream, Seats
from flobc.composition.explorer.pages import Pages
from flobc.composition.explorer.rendering import HERE
from flobc.composition.explorer.training import Training
from flobc.errors import FlobcError, TransientError, VerificationError

POLL_S = 0.25
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)
"""Nothing but our own files is loaded, and nothing that stands in a page is run."""
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cache-control": "no-cache",
}
_ENCODED = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


def build_site(explorer: Explorer) -> Callable[..., Awaitable[None]]:
    """Return the ASGI application of one explorer, which it does not start or close."""
    pages, training, watching = Pages(explorer), Training(explorer), _Watching(explorer)

    @contextlib.asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        task = asyncio.create_task(explorer.hub.run())
        yield
        task.cancel()

    routes: list[Route | Mount] = [
        Route("/", pages.overview),
        Route("/blocks", pages.blocks),
        Route("/blocks.csv", training.blocks_csv),
        Route("/updates.csv", training.updates_csv),
        Route("/blocks/{height}", pages.block),
        Route("/blocks/{height}/bytes", pages.block_bytes),
        Route("/genesis", pages.genesis),
        Route("/updates/{update}", pages.update),
        Route("/updates/{update}/bytes", pages.update_bytes),
        Route("/trainers", pages.trainers),
        Route("/trainers/{key}", pages.trainer),
        Route("/validators", pages.validators),
        Route("/validators/{key}", pages.validator),
        Route("/training", training.page),
        Route("/training/compare", training.compare, methods=["POST"]),
        Route("/models/{height}.{kind}", training.model),
        Route("/search", pages.search),
        Route("/verify", _Verify(explorer).page),
        Route("/verify", _Verify(explorer).start, methods=["POST"]),
        Route("/verify/events", watching.verification),
        Route("/events", watching.chain),
        Route("/healthz", pages.alive),
        Route("/readyz", pages.ready),
        Mount("/static", StaticFiles(directory=HERE / "static")),
    ]
    handlers: Any = {HTTPException: _build_error_page(explorer), FlobcError: _build_error_page(explorer)}
    site = Starlette(routes=routes, lifespan=lifespan, exception_handlers=handlers)
    return with_headers(counted(site, routes, explorer.meter))


def with_headers(site: Callable[..., Awaitable[None]]) -> Callable[..., Awaitable[None]]:
    """Return the application with the security headers on every answer, streams and errors included."""

    async def answer(scope: Any, receive: Any, send: Any) -> None:
        async def send_with_headers(message: Any) -> None:
            if message["type"] == "http.response.start":
                message = {**message, "headers": [*message.get("headers", []), *_ENCODED]}
            await send(message)

        await site(scope, receive, send_with_headers if scope["type"] == "http" else send)

    return answer


def _build_error_page(explorer: Explorer) -> Callable[[Request, Exception], Awaitable[Response]]:
    async def answer(_: Request, error: Exception) -> Response:
        status, sentence = describe_error(error)
        headers = {"retry-after": "2"} if status == 503 else None
        return HTMLResponse(explorer.render("error.html", status=status, sentence=sentence), status, headers)

    return answer


def describe_error(error: Exception) -> tuple[int, str]:
    """Return an error's status code and what to tell the viewer."""
    if isinstance(error, HTTPException):
        plain = error.detail in ("Not Found", "Method Not Allowed")
        return error.status_code, "There is no such page; begin at the overview." if plain else error.detail
    if isinstance(error, TransientError):
        return 503, str(error)
    if isinstance(error, VerificationError):
        return 502, f"What the source serves does not hold: {error}"
    return 502, str(error)


class _Verify:
    """Handlers of the page that runs the light client."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._verification = explorer.verification

    async def page(self, _: Request) -> Response:
        return HTMLResponse(self._explorer.render("verify.html", progress=self._verification.progress))

    async def start(self, request: Request) -> Response:
        if not is_own_page(request):
            raise HTTPException(403, "Only a page of this explorer starts a verification.")
        self._verification.start()
        return RedirectResponse("/verify", 303)


class _Watching:
    """Handlers of what is sent as it changes, to as many as there are seats."""

    def __init__(self, explorer: Explorer) -> None:
        self._explorer = explorer
        self._verification = explorer.verification
        self._seats = Seats()

    async def chain(self, request: Request) -> Response:
        return self._send(request, self._explorer.hub.stream())

    async def verification(self, request: Request) -> Response:
        return self._send(request, self._stream_verification())

    async def _stream_verification(self) -> AsyncIterator[bytes]:
        """Yield the progress until the run is over."""
        while True:
            progress = self._verification.progress
            html = self._explorer.render("progress.html", progress=progress)
            yield encode_event({"state": progress.state, "html": html})
            if progress.state != "running":
                return
            await asyncio.sleep(POLL_S)

    def _send(self, request: Request, stream: AsyncIterator[bytes]) -> Response:
        """**Raises** HTTPException when there is no seat."""
        address = "" if request.client is None else request.client.host
        if not self._seats.take(address):
            raise HTTPException(503, "Too many viewers watch this chain live; this page works without.")
        return EventStream(stream, self._seats, address)
