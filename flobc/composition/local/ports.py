"""Ports for servers that are about to start: nobody listens there, and nobody else was promised them just now."""

from __future__ import annotations

import contextlib
import fcntl
import random
import socket
import time
from collections.abc import Iterator

from flobc.composition.local.cache import get_cache

_PORTS = (20_000, 32_000)
_PROMISED_S = 120
"""Until then whoever was given a port listens there, or has given up."""


def find_free_port(host: str = "127.0.0.1") -> int:
    """Return a port that nobody listens on now, below those that systems give to outgoing connections.

    A client that looks for its server again and again would else take the server's port some day. What was given to
    anybody of this user's in the last two minutes is not given again: servers take their time until they listen.
    """
    with _promises() as promised:
        while True:
            port = random.randrange(*_PORTS)
            if port in promised:
                continue
            with contextlib.suppress(OSError), socket.socket() as probe:
                probe.bind((host, port))
                promised[port] = time.time()
                return port


@contextlib.contextmanager
def _promises() -> Iterator[dict[int, float]]:
    """The ports promised lately and when, kept in a file for all processes; by nobody where no file can be kept."""
    with contextlib.ExitStack() as closing:
        try:
            path = get_cache() / "ports"
            path.parent.mkdir(parents=True, exist_ok=True)
            file = closing.enter_context(path.open("a+b", buffering=0))
            fcntl.flock(file, fcntl.LOCK_EX)
            file.seek(0)
            promised = _read(file.read().decode(errors="replace"))
        except (OSError, RuntimeError):  # no home, no room for a file, or no locks there
            promised, file = {}, None
        yield promised
        if file is not None:
            with contextlib.suppress(OSError):
                file.truncate(0)
                file.write("".join(f"{port} {given_s}\n" for port, given_s in promised.items()).encode())


def _read(text: str) -> dict[int, float]:
    now_s, promised = time.time(), {}
    for line in text.splitlines():
        with contextlib.suppress(ValueError):  # a crash may have cut a line
            port, given_s = line.split()
            if now_s - _PROMISED_S < float(given_s) <= now_s:
                promised[int(port)] = float(given_s)
    return promised
