"""The highest identity that a trainer signed, as a file."""

from __future__ import annotations

import threading
from pathlib import Path

from flobc.adapters.filesystem.files import read_regular, write_atomically
from flobc.errors import DataError, RemoteProtocolError
from flobc.protocol.consensus.machine import MAX_RECORD_BYTES
from flobc.protocol.messages import UpdateHeader, decode_record, encode_record


class FileLastHeader:
    """The signed header itself, in a file named by chain and trainer, so that neither takes another's. Thread-safe."""

    def __init__(self, directory: Path, chain: bytes, trainer: bytes) -> None:
        self.trainer = trainer
        self._chain = chain
        self._path = directory / f"{chain.hex()[:16]}-{trainer.hex()[:16]}.header"
        self._lock = threading.Lock()

    def save(self, header: UpdateHeader) -> None:
        """Make ``header`` durable, unless a higher one is."""
        with self._lock:
            held = self.load()
            if held is None or (held.base_height, held.k) < (header.base_height, header.k):
                write_atomically(self._path, [encode_record(header)])

    def load(self) -> UpdateHeader | None:
        """Return the highest header saved, or None. **Raises** DataError when the file is damaged."""
        data = read_regular(self._path, MAX_RECORD_BYTES)
        if data is None:
            return None
        try:
            header = decode_record(data)
        except RemoteProtocolError as error:
            raise DataError(
                f"The file {self._path} is damaged ({error}); remove it while the updates topic can be read: the "
                "trainer then reads there what it signed."
            ) from error
        if not isinstance(header, UpdateHeader) or (header.chain, header.trainer) != (self._chain, self.trainer):
            raise DataError(f"The file {self._path} holds no header of this trainer on this chain; restore it.")
        return header
