"""Faulty networks and waiting for conditions."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable


def wait_until(condition: Callable[[], bool], timeout_s: float = 10.0) -> None:
    """Return as soon as the condition holds; fail when it does not in time."""
    until = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until, "the condition did not come true in time"
        time.sleep(0.005)


class Proxy:
    """Forwards TCP to ``target``, holds what the server sends after so many bytes, and can cut all connections.

    ``received`` counts the bytes of the server that were forwarded.
    """

    def __init__(self, target: str, hold_after: int) -> None:
        self.target = target
        self.received = 0
        self.held = threading.Event()
        self._hold_after: int | None = hold_after
        self._release = threading.Event()
        self._pairs: list[tuple[socket.socket, socket.socket]] = []
        self._dropped: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        threading.Thread(target=self._accept, daemon=True).start()

    def release(self) -> None:
        """Forward what was held, and everything from now on."""
        self._hold_after = None
        self._release.set()

    def cut(self) -> None:
        """End all connections, what is held included, and forward everything of later ones.

        The client still gets every byte that was forwarded: it sees an end, not a reset.
        """
        pairs, self._pairs = self._pairs, []
        for client, server in pairs:
            self._dropped.add(server)
            _end(server)
            _end_writing(client)
        self.release()

    def close(self) -> None:
        _end(self._listener)
        self.cut()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            try:
                host, _, port = self.target.rpartition(":")
                server = socket.create_connection((host, int(port)))
            except OSError:
                client.close()
                continue
            self._pairs.append((client, server))
            threading.Thread(target=self._forward_requests, args=(client, server), daemon=True).start()
            threading.Thread(target=self._forward_answers, args=(server, client), daemon=True).start()

    def _forward_requests(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := client.recv(16_384):
                # what a client says to a dead server must still be read, or the system resets its connection
                with contextlib.suppress(OSError):
                    server.sendall(data)
        _end(server)
        _end(client)

    def _forward_answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(16_384):
                if self._hold_after is not None and self.received >= self._hold_after:
                    self.held.set()
                    self._release.wait()
                if server in self._dropped:
                    break
                self.received += len(data)
                client.sendall(data)
        _end_writing(client)


def _end_writing(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_WR)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
