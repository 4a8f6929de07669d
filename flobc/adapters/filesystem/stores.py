"""Payloads, models, blocks and seals as files named by what they hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem.files import write_atomically
from flobc.errors import DataError, RemoteProtocolError
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.encoding import decode, encode
from flobc.protocol.messages import Seal, UpdateHeader, decode_record, encode_record


class FilePayloads:
    """One file per update: the header's record and the chunks, each behind its length."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, update: bytes) -> Path:
        return self._directory / f"{update.hex()}.payload"

    def put(self, update: bytes, payload: Payload) -> None:
        """Keep a payload."""
        pieces: list[bytes] = []
        for part in (encode_record(payload.header), *payload.chunks):
            pieces += [len(part).to_bytes(4, "big"), part]
        write_atomically(self._path(update), pieces, durable=False)

    def get(self, update: bytes) -> Payload | None:
        """Return a payload, or None. **Raises** DataError when its file is damaged."""
        path = self._path(update)
        if not path.exists():
            return None
        parts = _split(path.read_bytes(), path)
        return Payload(_decode_header(parts[0] if parts else b"", path), tuple(parts[1:]))

    def list_headers(self) -> list[UpdateHeader]:
        """Return the headers of all payloads held, oldest base first."""
        headers = []
        for path in self._directory.glob("*.payload"):
            with path.open("rb") as file:
                length = int.from_bytes(file.read(4), "big")
                headers.append(_decode_header(file.read(length), path))
        return sorted(headers, key=lambda header: (header.base_height, header.trainer, header.k))


def _decode_header(data: bytes, path: Path) -> UpdateHeader:
    try:
        header = decode_record(data)
    except RemoteProtocolError as error:
        raise DataError(f"The payload file {path} is damaged ({error}); fetch it again.") from error
    if not isinstance(header, UpdateHeader):
        raise DataError(f"The payload file {path} does not begin with an update header; fetch it again.")
    return header


def _split(data: bytes, path: Path) -> list[bytes]:
    parts, offset = [], 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        part = data[offset + 4 : offset + 4 + length]
        if len(part) < length or offset + 4 > len(data):
            raise DataError(f"The payload file {path} ends in the middle of a chunk; fetch it again.")
        parts.append(part)
        offset += 4 + length
    return parts


class FileModels:
    """One file per model: its int32 coordinates, little-endian."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, digest: bytes) -> Path:
        return self._directory / f"{digest.hex()}.model"

    def put(self, digest: bytes, model: NDArray[np.int32]) -> None:
        """Keep a model."""
        write_atomically(self._path(digest), [memoryview(model.astype("<i4", copy=False)).cast("B")], durable=False)

    def get(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model, or None."""
        path = self._path(digest)
        return np.fromfile(path, dtype="<i4").astype(np.int32, copy=False) if path.exists() else None

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        for path in self._directory.glob("*.model"):
            if bytes.fromhex(path.stem) not in digests:
                path.unlink(missing_ok=True)


class FileBlocks:
    """One file per certified block, named by height."""

    def __init__(self, directory: Path, genesis_header_digest: bytes) -> None:
        self._directory = directory
        self._height = 0
        self._head = genesis_header_digest
        while (block := self.get(self._height + 1)) is not None:
            self._height += 1
            self._head = compute_header_digest(block.header)

    def _path(self, height: int) -> Path:
        return self._directory / f"{height:08d}.block"

    def append(self, block: Block) -> bool:
        """Add the next block if the head is its parent."""
        if block.header.parent != self._head or block.height != self._height + 1:
            return False
        write_atomically(self._path(block.height), [encode(block)])
        self._height, self._head = block.height, compute_header_digest(block.header)
        return True

    def get(self, height: int) -> Block | None:
        """Return the block at a height, or None. **Raises** DataError when its file is damaged."""
        path = self._path(height)
        if not path.exists():
            return None
        try:
            return decode(Block, path.read_bytes())
        except RemoteProtocolError as error:
            raise DataError(f"The block file {path} is damaged ({error}); rebuild it from the log.") from error

    @property
    def height(self) -> int:
        """The newest block's height."""
        return self._height


class FileSeals:
    """One file per validator."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, validator: bytes) -> Path:
        return self._directory / f"{validator.hex()}.seal"

    def save(self, seal: Seal) -> None:
        """Make the seal durable before anybody sees it."""
        write_atomically(self._path(seal.validator), [encode_record(seal)])

    def load(self, validator: bytes) -> Seal | None:
        """Return a validator's last seal, or None. **Raises** DataError when its file is damaged."""
        path = self._path(validator)
        if not path.exists():
            return None
        try:
            seal = decode_record(path.read_bytes())
        except RemoteProtocolError as error:
            raise DataError(f"The seal file {path} is damaged ({error}); this validator must not seal.") from error
        if not isinstance(seal, Seal):
            raise DataError(f"The file {path} holds no seal; this validator must not seal before it is restored.")
        return seal
