"""An explorer as a web server, on a thread of its own."""

from __future__ import annotations

import asyncio
import socket
import threading
from pathlib import Path

import uvicorn
from anyio import to_thread

from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.limiting import PunctualProtocol, get_most_connections
from flobc.composition.explorer.listening import BACKLOG, describe_listener, open_listener
from flobc.composition.explorer.site import build_site
from flobc.errors import UsageError

STOP_S = 3.0
"""How long answers under way may take when the server stops."""
KEEP_S = 30
"""How long a quiet connection is kept: people read a page before they ask for the next one."""
THREADS = 16
"""Threads that ask the source and read files at once; each has a connection to the index, with a cache of its own."""


class WebServer:
    """Serves one explorer from a thread of its own until it is stopped."""

    def __init__(self, explorer: Explorer, files: tuple[Path, Path] | None = None) -> None:
        self._explorer, self._files = explorer, files
        self._server: uvicorn.Server | None = None
        self._thread: threading.Thread | None = None

    def start(self, address: str) -> str:
        """Serve on HOST:PORT, follow the chain, and return the pages' address; port 0 is any free one.

        **Raises** UsageError when the address cannot be had or the certificate not be read.
        """
        return self.start_on(open_listener(address), address.rpartition(":")[0])

    def start_on(self, listener: socket.socket, host: str) -> str:
        """As ``start``, on a socket that listens already; ``host`` is what people call it."""
        try:
            config = uvicorn.Config(
                build_site(self._explorer),
                log_config=None,
                access_log=False,
                server_header=False,
                lifespan="on",
                http=PunctualProtocol,
                limit_concurrency=get_most_connections(),
                ws="none",
                backlog=BACKLOG,
                timeout_keep_alive=KEEP_S,
                timeout_graceful_shutdown=int(STOP_S),
                ssl_certfile=None if self._files is None else self._files[0],
                ssl_keyfile=None if self._files is None else self._files[1],
            )
            config.load()
        except (OSError, ValueError) as error:
            listener.close()
            raise UsageError(
                f"FLOBC_WEB_CERTIFICATE or FLOBC_WEB_KEY cannot be used ({error}); correct them."
            ) from error
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, args=(listener,), name="flobc-web", daemon=True)
        self._thread.start()
        self._explorer.start()
        return describe_listener(listener, host, self._files is not None)

    def stop(self) -> None:
        """End streams and answers, and stop following."""
        self._explorer.hub.close()
        if self._server is not None and self._thread is not None:
            self._server.should_exit = True
            self._thread.join(2 * STOP_S)
        self._explorer.close()

    def _run(self, listener: socket.socket) -> None:
        async def serve(server: uvicorn.Server) -> None:
            to_thread.current_default_thread_limiter().total_tokens = THREADS
            await server.serve([listener])

        if self._server is not None:
            asyncio.run(serve(self._server))
