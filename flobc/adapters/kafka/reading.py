"""Taking more from a connection at a time than the library does, and whatever a broker has taken."""

from __future__ import annotations

import socket
from typing import Any, TypeVar

import numpy as np
from kafka import errors  # type: ignore[import-untyped]
from kafka.net.transport import KafkaTCPTransport  # type: ignore[import-untyped]
from kafka.protocol import parser  # type: ignore[import-untyped]
from kafka.record.default_records import DefaultRecord, DefaultRecordBatch  # type: ignore[import-untyped]
from kafka.record.util import decode_varint  # type: ignore[import-untyped]

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


def read_any_headers() -> None:
    """Let a record whose header's name is no text count as an empty one, and copy a record's value once, not twice.

    Brokers take it and the library would call the whole topic broken, so anybody who may write could stop all readers.
    """
    if getattr(DefaultRecordBatch._read_msg, "reads_any_headers", False):
        return
    read = DefaultRecordBatch._read_msg

    def read_value_once(batch: Any, *arguments: Any) -> Any:
        batch._buffer = memoryview(batch._buffer)  # a part of a bytearray would be a copy already
        try:
            return read(batch, *arguments)
        except AttributeError:  # there is no text in a view: this record has headers
            whole = batch._buffer.obj  # a copy already, made for an earlier record of the batch that has headers too
            is_copy = isinstance(whole, bytearray) and len(whole) == len(batch._buffer)
            batch._buffer = whole if is_copy else bytearray(batch._buffer)
            return read_or_blank(batch, *arguments)

    def read_or_blank(batch: Any, *arguments: Any) -> Any:
        try:
            return read(batch, *arguments)
        except UnicodeDecodeError:
            length, start = decode_varint(batch._buffer, batch._pos)
            _, place = decode_varint(batch._buffer, start)  # attributes
            _, place = decode_varint(batch._buffer, place)  # time
            delta, _ = decode_varint(batch._buffer, place)
            batch._pos = start + length
            offset = batch.base_offset + delta
            return DefaultRecord(length, offset, batch.first_timestamp, batch.timestamp_type, None, b"", [])

    read_value_once.reads_any_headers = True  # type: ignore[attr-defined]
    DefaultRecordBatch._read_msg = read_value_once
