"""Streams put together and checked: what does not hash to what was asked for never leaves this module."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.grpc.generated import pieces_pb2
from flobc.adapters.grpc.wire import MAX_MODEL_BYTES, MAX_OBJECT_BYTES, PIECE_BYTES, count_pieces
from flobc.errors import DataError, RemoteProtocolError
from flobc.learning.model_digest import compute_model_digest
from flobc.ports.payloads import Payload
from flobc.protocol.encoding import decode
from flobc.protocol.merkle import merkle_root
from flobc.protocol.messages import UpdateHeader, compute_update_id, verify_header
from flobc.protocol.params import MAX_CHUNKS

T = TypeVar("T")

Call = Callable[[int], Iterable[Any]]
"""Starts a stream at a piece or chunk."""


class ModelDownload:
    """A model as far as it has come, to be gone on with at the next piece, at any server."""

    def __init__(self, digest: bytes) -> None:
        self._digest = digest
        self._forget()

    @property
    def progress(self) -> int:
        """How many pieces are there."""
        return self._next

    def run(self, call: Call) -> NDArray[np.int32]:
        """Return the model after the pieces that are still wanting; what has come stays when the call fails.

        **Shapes**: (D,). **Raises** DataError when this server's answer is wrong; what the call raises.
        """
        resumed = self._next > 0
        try:
            return self._run(call)
        except DataError:
            self._forget()
            if not resumed:
                raise
            # the pieces of an earlier server may have been the wrong ones
            return self._run(call)

    def _forget(self) -> None:
        self._contents: pieces_pb2.ModelContents | None = None
        self._data = memoryview(b"")
        self._next = 0

    def _run(self, call: Call) -> NDArray[np.int32]:
        if self._contents is None or self._next < count_pieces(len(self._data)):
            for response in call(self._next):
                if response.WhichOneof("part") == "contents":
                    self._begin(response.contents)
                else:
                    self._take(response.piece)
        if self._contents is None or self._next < count_pieces(len(self._data)):
            raise DataError(f"the stream ends after piece {self._next}")
        model = np.frombuffer(self._data, "<i4").astype(np.int32, copy=False)
        if compute_model_digest(model, self._contents.chunk_size) != self._digest:
            raise DataError("the pieces do not hash to the model's digest")
        return model

    def _begin(self, contents: pieces_pb2.ModelContents) -> None:
        if self._contents is not None:
            if contents != self._contents:
                raise DataError("the contents changed between two calls")
            return
        chunks = -(-contents.size // contents.chunk_size) if contents.chunk_size else 0
        if contents.digest != self._digest or not 1 <= chunks <= MAX_CHUNKS or 4 * contents.size > MAX_MODEL_BYTES:
            raise DataError(f"a model of {contents.size} coordinates in {chunks} chunks is none that was asked for")
        self._contents = contents
        self._data = np.empty(4 * contents.size, np.uint8).data

    def _take(self, piece: bytes) -> None:
        room = self._data[self._next * PIECE_BYTES : (self._next + 1) * PIECE_BYTES]
        if len(piece) != len(room) or not piece:
            raise DataError(f"piece {self._next} has {len(piece)} bytes instead of {len(room)}")
        room[:] = piece
        self._next += 1


class PayloadDownload:
    """A payload as far as it has come, to be gone on with at the next chunk, at any server."""

    def __init__(self, update: bytes) -> None:
        self._update = update
        self._header: UpdateHeader | None = None
        self._chunks: list[bytes] = []
        self._size_bytes = 0

    @property
    def progress(self) -> int:
        """How many chunks are there."""
        return len(self._chunks)

    def run(self, call: Call) -> Payload:
        """Return the payload after the chunks that are still wanting; what has come stays when the call fails.

        **Raises** DataError when this server's answer is wrong; what the call raises.
        """
        resumed = bool(self._chunks)
        try:
            return self._run(call)
        except DataError:
            self._chunks, self._size_bytes = [], 0
            if not resumed:
                raise
            return self._run(call)

    def _run(self, call: Call) -> Payload:
        if self._header is None or len(self._chunks) < self._header.num_chunks:
            for response in call(len(self._chunks)):
                if response.WhichOneof("part") == "header":
                    self._header = self._check_header(response.header)
                else:
                    self._take(response.chunk)
        header, chunks = self._header, tuple(self._chunks)
        if header is None or (len(chunks), self._size_bytes) != (header.num_chunks, header.size_bytes):
            raise DataError(f"the stream ends after {len(chunks)} chunks")
        if merkle_root(chunks) != header.payload_root:
            raise DataError("the chunks do not hash to the root that the trainer signed")
        return Payload(header, chunks)

    def _check_header(self, data: bytes) -> UpdateHeader:
        header = decode_answer(UpdateHeader, data)
        if compute_update_id(header) != self._update or not verify_header(header):
            raise DataError("the header is not the one that the trainer signed for this update")
        if header.num_chunks > MAX_CHUNKS or header.size_bytes > MAX_MODEL_BYTES:
            raise DataError(f"a payload of {header.num_chunks} chunks and {header.size_bytes} bytes is too large")
        return header

    def _take(self, chunk: bytes) -> None:
        self._size_bytes += len(chunk)
        self._chunks.append(chunk)
        header = self._header
        if header is None or self._size_bytes > header.size_bytes or len(self._chunks) > header.num_chunks:
            raise DataError("there are more chunks than the header says")


def read_pieces(responses: Iterable[Any], max_bytes: int = MAX_OBJECT_BYTES) -> bytes:
    """Return the bytes that a stream of contents and pieces carries. **Raises** DataError."""
    size_bytes, data = -1, bytearray()
    for response in responses:
        if response.WhichOneof("part") == "contents":
            size_bytes = response.contents.size_bytes
            if size_bytes > max_bytes:
                raise DataError(f"{size_bytes} bytes are above the {max_bytes} that are accepted")
        else:
            data += response.piece
            if len(data) > size_bytes:
                raise DataError("there are more pieces than the contents say")
    if len(data) != size_bytes:
        raise DataError(f"the stream ends after {len(data)} bytes")
    return bytes(data)


def decode_answer(cls: type[T], data: bytes) -> T:
    """Return the value of canonical bytes from a server. **Raises** DataError when they are not canonical."""
    try:
        return decode(cls, data)
    except RemoteProtocolError as error:
        raise DataError(f"the bytes are no {cls.__name__} ({error})") from error
