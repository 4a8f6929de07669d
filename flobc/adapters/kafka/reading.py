"""Taking more from a connection at a time than the library does."""

from __future__ import annotations

import socket
from typing import Any, TypeVar

import numpy as np
from kafka import errors  # type: ignore[import-untyped]
from kafka.net.transport import KafkaTCPTransport  # type: ignore[import-untyped]
from kafka.protocol import parser  # type: ignore[import-untyped]

V = TypeVar("V", bytes, int)

PIECE_BYTES = 256 * 1024


class Frame:
    """An answer of a broker while it comes in: what the library's ``KafkaBytes`` does, without its copies."""

    def __init__(self, size_bytes: int) -> None:
        self._bytes = np.empty(size_bytes, np.uint8).data
        self._at = 0

    def __len__(self) -> int:
        return len(self._bytes)

    def tell(self) -> int:
        """Return where the next read or write begins."""
        return self._at

    def seek(self, at: int) -> None:
        """Read or write from there on."""
        self._at = at

    def write(self, data: bytes) -> None:
        """Put in the next bytes."""
        self._bytes[self._at : self._at + len(data)] = data
        self._at += len(data)

    def read(self, size_bytes: int | None = None) -> bytes | memoryview:
        """Return the next bytes, or a view of all that are left."""
        rest = self._bytes[self._at :]
        if size_bytes is None:
            self._at = len(self)
            return rest
        found = bytes(rest[:size_bytes])
        self._at += len(found)
        return found

    def receive(self, connection: socket.socket) -> int:
        """Take what a connection has for this frame, but for its last byte; return how much that was."""
        size_bytes = connection.recv_into(self._bytes[self._at : -1])
        self._at += size_bytes
        return size_bytes


def read_in_large_pieces(transport: Any) -> None:
    """Let a plain connection be read in pieces of 256 KiB instead of 4, and a long answer right to where it belongs.

    Half the work for a round's payloads. Encrypted ones are left alone: there a piece ends where a TLS record does.
    """
    parser.KafkaBytes = Frame
    if type(transport) is not KafkaTCPTransport:
        return

    def receive() -> tuple[bytes, BaseException | None]:
        """As the library's ``_sock_recv``: what there is now, and why there will be no more."""
        pieces: list[bytes] = []
        try:
            while _receive_frame(transport):
                pass
            while not pieces or len(pieces[-1]) == PIECE_BYTES:
                pieces.append(_require_some(transport._sock.recv(PIECE_BYTES)))
        except (BlockingIOError, InterruptedError):
            pass
        except OSError as error:
            return b"".join(pieces), errors.KafkaConnectionError(error)
        return b"".join(pieces), None

    transport._sock_recv = receive


def _receive_frame(transport: Any) -> bool:
    """Receive a part of the frame that is under way; False when there is none, or little of it left."""
    current = getattr(transport._protocol, "parser", None)
    frame = current._rbuffer if current is not None and current._receiving else None
    if not isinstance(frame, Frame) or len(frame) - frame.tell() <= PIECE_BYTES:
        return False
    _require_some(frame.receive(transport._sock))
    return True


def _require_some(received: V) -> V:
    if not received:
        raise ConnectionError("socket disconnected")
    return received
