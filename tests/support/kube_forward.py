"""The server's half of Kubernetes' port forwarding: websocket frames whose first byte is the channel."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import socket
import struct
import threading
from http.server import BaseHTTPRequestHandler

_MAGIC = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_BINARY, _CLOSE = 0x82, 8
_PIECE_BYTES = 1 << 16


def forward(handler: BaseHTTPRequestHandler, port: int, backend: tuple[str, int]) -> None:
    """Answer a request to upgrade, and carry bytes between the websocket and a server until either side ends."""
    key = handler.headers["Sec-WebSocket-Key"].encode()
    handler.send_response(101)
    handler.send_header("Upgrade", "websocket")
    handler.send_header("Connection", "Upgrade")
    handler.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(key + _MAGIC).digest()).decode())
    handler.end_headers()
    handler.close_connection = True
    for channel in (0, 1):
        _send(handler, bytes([channel]) + struct.pack("<H", port))
    with socket.create_connection(backend) as server:
        answers = threading.Thread(target=_carry_answers, args=(handler, server), daemon=True)
        answers.start()
        with contextlib.suppress(OSError):
            while (frame := _read(handler)) is not None:
                server.sendall(frame[1:])
        with contextlib.suppress(OSError):
            server.shutdown(socket.SHUT_RDWR)
        answers.join()


def _carry_answers(handler: BaseHTTPRequestHandler, server: socket.socket) -> None:
    with contextlib.suppress(OSError, ValueError):
        while data := server.recv(_PIECE_BYTES):
            _send(handler, b"\x00" + data)


def _send(handler: BaseHTTPRequestHandler, data: bytes) -> None:
    length = bytes([len(data)]) if len(data) < 126 else b"\x7f" + struct.pack(">Q", len(data))
    handler.wfile.write(bytes([_BINARY]) + length + data)
    handler.wfile.flush()


def _read(handler: BaseHTTPRequestHandler) -> bytes | None:
    """The data of the next frame, or None at the end. Clients mask what they send."""
    head = handler.rfile.read(2)
    if len(head) < 2 or head[0] & 0x0F == _CLOSE:
        return None
    length = head[1] & 0x7F
    if length == 126:
        (length,) = struct.unpack(">H", handler.rfile.read(2))
    elif length == 127:
        (length,) = struct.unpack(">Q", handler.rfile.read(8))
    mask = handler.rfile.read(4)
    data = handler.rfile.read(length)
    return bytes(byte ^ mask[place % 4] for place, byte in enumerate(data))
