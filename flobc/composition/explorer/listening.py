"""The socket that pages are served on; loads none of the web's libraries, so that an address is tried early."""

from __future__ import annotations

import socket

from flobc.errors import UsageError

BACKLOG = 2_048


def open_listener(address: str) -> socket.socket:
    """Return a socket that listens on HOST:PORT; port 0 is any free one. **Raises** UsageError."""
    host, _, port = address.rpartition(":")
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host.strip("[]"), int(port)), family=family, backlog=BACKLOG)
    except (OSError, ValueError, OverflowError) as error:
        raise UsageError(f"Pages cannot be served at {address} ({error}); choose another HOST:PORT.") from error


def describe_listener(listener: socket.socket, host: str, is_secure: bool = False) -> str:
    """Return the address of pages as browsers take it; ``host`` as it was given, this machine where it is empty."""
    return f"{'https' if is_secure else 'http'}://{host or 'localhost'}:{listener.getsockname()[1]}"
