"""A network that a test breaks: everything that a service says to a server goes through here."""

from __future__ import annotations

import contextlib
import re
import socket
import threading
from collections.abc import Iterator

_HOST = "127.0.0.1"
_PIECE_BYTES = 65_536


class Proxy:
    """Forwards TCP to ``target``; while it is cut, it swallows what both sides say, and nobody is told.

    Kafka's requests stand behind their length in four bytes: ``framed`` forwards or swallows each of them whole.
    Otherwise what arrives together is taken for one.
    """

    def __init__(self, target: str, *, framed: bool) -> None:
        self.target = target
        self.stopped = threading.Event()
        self.found: re.Match[bytes] | None = None
        self._framed = framed
        self._lock = threading.Lock()
        self._is_cut = False
        self._pattern: re.Pattern[bytes] | None = None
        self._goes_through = False
        self._sockets: set[socket.socket] = set()
        self._listener = socket.create_server((_HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.address = f"{_HOST}:{self.port}"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Let nothing through any more, in either direction."""
        with self._lock:
            self._is_cut = True

    def stop_at(self, pattern: re.Pattern[bytes], *, through: bool) -> None:
        """Cut at the first request with ``pattern`` in it, which itself still goes ``through`` or does not.

        ``stopped`` is set then, and ``found`` tells what was found.
        """
        with self._lock:
            self.stopped.clear()
            self._pattern, self._goes_through = pattern, through

    def heal(self) -> None:
        """Forward again. Connections that have lost something end: their peers have to begin anew."""
        with self._lock:
            was_cut, self._is_cut, self._pattern = self._is_cut, False, None
            lost, self._sockets = (self._sockets, set()) if was_cut else (set(), self._sockets)
        for one in lost:
            _end(one)

    def close(self) -> None:
        _end(self._listener)
        self.cut()
        self.heal()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = self._connect()
            if server is None and not self._is_cut:
                client.close()  # as a server that is not there
                continue
            with self._lock:
                self._sockets |= {client} if server is None else {client, server}
            threading.Thread(target=self._forward_requests, args=(client, server), daemon=True).start()
            if server is not None:
                threading.Thread(target=self._forward_answers, args=(server, client), daemon=True).start()

    def _connect(self) -> socket.socket | None:
        if self._is_cut:
            return None
        host, _, port = self.target.rpartition(":")
        with contextlib.suppress(OSError):
            return socket.create_connection((host, int(port)), timeout=None)
        return None

    def _forward_requests(self, client: socket.socket, server: socket.socket | None) -> None:
        with contextlib.suppress(OSError):
            for request in self._read_requests(client):
                if self._lets_through(request) and server is not None:
                    server.sendall(request)
        self._drop(client, server)

    def _forward_answers(self, server: socket.socket, client: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(_PIECE_BYTES):
                if not self._is_cut:
                    client.sendall(data)
        if not self._is_cut:  # through a cut nobody learns that the other side has ended
            self._drop(client, server)

    def _lets_through(self, request: bytes) -> bool:
        with self._lock:
            if self._is_cut:
                return False
            found = None if self._pattern is None else self._pattern.search(request)
            if found is None:
                return True
            self.found, self._pattern, self._is_cut = found, None, True
            self.stopped.set()
            return self._goes_through

    def _read_requests(self, client: socket.socket) -> Iterator[bytes]:
        while True:
            if not self._framed:
                request = client.recv(_PIECE_BYTES)
            elif length := _receive(client, 4):
                request = length + _receive(client, int.from_bytes(length, "big"))
            else:
                return
            if not request:
                return
            yield request

    def _drop(self, *pair: socket.socket | None) -> None:
        for one in pair:
            if one is not None:
                with self._lock:
                    self._sockets.discard(one)
                _end(one)


def _receive(client: socket.socket, count: int) -> bytes:
    """The next bytes, or none when the client ends before all have come."""
    data = bytearray()
    while len(data) < count:
        piece = client.recv(count - len(data))
        if not piece:
            return b""
        data += piece
    return bytes(data)


def _end(one: socket.socket) -> None:
    with contextlib.suppress(OSError):
        one.shutdown(socket.SHUT_RDWR)
    one.close()
