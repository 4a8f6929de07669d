"""Payloads, models, blocks, seals and core states as files named by what they hold."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem.files import read_regular, write_atomically
from flobc.adapters.filesystem.formats import (
    decode_block,
    decode_header,
    decode_model,
    decode_payload,
    encode_model,
    encode_payload,
    get_block_name,
    get_model_name,
    get_payload_name,
    get_state_name,
)
from flobc.adapters.filesystem.recycling import RecycledFiles
from flobc.errors import DataError, RemoteProtocolError
from flobc.ports.payloads import Payload
from flobc.ports.seals import require_approving, require_sealing
from flobc.ports.states import require_state
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.consensus.machine import MAX_RECORD_BYTES
from flobc.protocol.encoding import decode, encode
from flobc.protocol.messages import Approve, Seal, UpdateHeader, decode_record, encode_record

MAX_TENSOR_BYTES = 1 << 32
"""Longest file of a payload or model: what a longer one says would not fit a reader's memory."""
MAX_BLOCK_BYTES = 1 << 28
"""Longest file of a block: a body's headers and votes, at 64 KiB a round by design."""
MAX_STATE_BYTES = 1 << 28
"""Longest file of a core state."""


class FilePayloads:
    """One file per update: the header's record and the chunks, each behind its length.

    With ``flush=False`` a power cut may damage the newest: for who can have them again and looks (``is_genuine``).
    """

    def __init__(self, directory: Path, *, flush: bool = True) -> None:
        self._directory = directory
        self._files = RecycledFiles(directory)
        self._flush = flush

    def _path(self, update: bytes) -> Path:
        return self._directory / get_payload_name(update)

    def put(self, update: bytes, payload: Payload) -> None:
        """Keep a payload."""
        self._files.write(self._path(update), encode_payload(payload), flush=self._flush)

    def get(self, update: bytes) -> Payload | None:
        """Return a payload, or None. **Raises** DataError when its file is damaged."""
        path = self._path(update)
        data = self._files.read(path, MAX_TENSOR_BYTES)
        return None if data is None else decode_payload(data, path)

    def list_headers(self) -> list[UpdateHeader]:
        """Return the headers of all payloads held, oldest base first."""
        headers = []
        for path in self._directory.glob("*.payload"):
            try:
                with self._files.reading(path) as file:
                    if file is not None:
                        length = int.from_bytes(file.read(4), "big")
                        headers.append(decode_header(file.read(length), path))
            except DataError:
                if self._flush:
                    raise
                path.unlink(missing_ok=True)  # a power cut may do that to what was not flushed
        return sorted(headers, key=lambda header: (header.base_height, header.trainer, header.k))

    def drop(self, updates: Collection[bytes]) -> None:
        """Forget these payloads, if held."""
        for update in updates:
            self._files.drop(self._path(update))


class FileModels:
    """One file per model: its int32 coordinates, little-endian."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._files = RecycledFiles(directory)

    def _path(self, digest: bytes) -> Path:
        return self._directory / get_model_name(digest)

    def put(self, digest: bytes, model: NDArray[np.int32]) -> None:
        """Keep a model."""
        self._files.write(self._path(digest), [encode_model(model)])

    def get(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model, or None. **Raises** DataError when its file is cut short."""
        path = self._path(digest)
        data = self._files.read(path, MAX_TENSOR_BYTES)
        return None if data is None else decode_model(data, path)

    def has(self, digest: bytes) -> bool:
        """Return whether a model is held."""
        return self._path(digest).is_file()

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        for path in self._directory.glob("*.model"):
            if bytes.fromhex(path.stem) not in digests:
                self._files.drop(path)


def get_block_path(directory: Path, height: int) -> Path:
    """Return where the block of a height lies."""
    return directory / get_block_name(height)


def read_block(directory: Path, height: int) -> Block | None:
    """Return the block at a height, or None. **Raises** DataError when its file is damaged."""
    path = get_block_path(directory, height)
    data = read_regular(path, MAX_BLOCK_BYTES)
    return None if data is None else decode_block(data, path)


def list_block_heights(directory: Path) -> list[int]:
    """Return the heights of which there is a block file, ascending, gaps and all."""
    return sorted(int(path.stem) for path in directory.glob("*.block") if path.stem.isdecimal())


class FileBlocks:
    """One file per certified block, named by height."""

    def __init__(self, directory: Path, genesis_header_digest: bytes) -> None:
        self._directory = directory
        self._height = 0
        self._head = genesis_header_digest
        while (block := self.get(self._height + 1)) is not None:
            self._height += 1
            self._head = compute_header_digest(block.header)

    def append(self, block: Block) -> bool:
        """Add the next block if the head is its parent."""
        if block.header.parent != self._head or block.height != self._height + 1:
            return False
        write_atomically(get_block_path(self._directory, block.height), [encode(block)])
        self._height, self._head = block.height, compute_header_digest(block.header)
        return True

    def get(self, height: int) -> Block | None:
        """Return the block at a height, or None. **Raises** DataError when its file is damaged."""
        return read_block(self._directory, height)

    @property
    def height(self) -> int:
        """The newest block's height."""
        return self._height


class FileSeals:
    """One file per validator; ``sync_log`` puts on disk what a seal speaks of before the seal itself."""

    def __init__(self, directory: Path, sync_log: Callable[[], None]) -> None:
        self._directory = directory
        self._sync_log = sync_log

    def _path(self, validator: bytes) -> Path:
        return self._directory / f"{validator.hex()}.seal"

    def _approve_path(self, chain: bytes, validator: bytes) -> Path:
        return self._directory / f"{validator.hex()}-{chain.hex()}.approve"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Keep every other process from writing here: one may seal while another one approves."""
        self._directory.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(self._directory, os.O_RDONLY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def save(self, seal: Seal) -> None:
        """Make the seal durable before anybody sees it. **Raises** LocalProtocolError after an approval."""
        self._sync_log()
        with self._alone():
            require_sealing(seal, self.load_approve(seal.chain, seal.validator), self.load(seal.validator))
            write_atomically(self._path(seal.validator), [encode_record(seal)])

    def load(self, validator: bytes) -> Seal | None:
        """Return a validator's last seal, or None. **Raises** DataError when its file is damaged."""
        path = self._path(validator)
        data = read_regular(path, MAX_RECORD_BYTES)
        if data is None:
            return None
        try:
            seal = decode_record(data)
        except RemoteProtocolError as error:
            raise DataError(f"The seal file {path} is damaged ({error}); this validator must not seal.") from error
        if not isinstance(seal, Seal):
            raise DataError(f"The file {path} holds no seal; this validator must not seal before it is restored.")
        return seal

    def save_approve(self, approve: Approve) -> None:
        """Make the approval durable. **Raises** UsageError when it does not fit what was kept before."""
        with self._alone():
            before = self.load_approve(approve.chain, approve.validator)
            require_approving(approve, self.load(approve.validator), before)
            write_atomically(self._approve_path(approve.chain, approve.validator), [encode(approve)])

    def load_approve(self, chain: bytes, validator: bytes) -> Approve | None:
        """Return a validator's approval, or None. **Raises** DataError when its file is damaged."""
        path = self._approve_path(chain, validator)
        data = read_regular(path, MAX_RECORD_BYTES)
        if data is None:
            return None
        try:
            return decode(Approve, data)
        except RemoteProtocolError as error:
            raise DataError(f"The approval {path} is damaged ({error}); this validator must not seal.") from error


class FileStates:
    """One file per core state: its encoding, named by its digest."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def _path(self, digest: bytes) -> Path:
        return self._directory / get_state_name(digest)

    def put(self, digest: bytes, state: bytes) -> None:
        """Keep an encoded state."""
        write_atomically(self._path(digest), [state])

    def get(self, digest: bytes) -> bytes | None:
        """Return the encoded state with this digest, or None. **Raises** DataError when its file is damaged."""
        path = self._path(digest)
        state = read_regular(path, MAX_STATE_BYTES)
        if state is not None:
            require_state(digest, state, path)
        return state
