"""A chain's export: one zip file whose entries are the files of a run's directory.

::

    manifest.json   format, version, chain id, height, head    blocks/         certified blocks
    genesis         block 0                                    payloads/       updates that blocks decide
    log             every consensus record, framed as on disk  models/         the first and the last model
    tests.json      test accuracy by height

Entries are stored, not compressed: updates hardly shrink, and a reader need not fear what unpacks.
"""

from __future__ import annotations

import json
import math
import struct
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem.formats import (
    decode_block,
    decode_model,
    decode_payload,
    get_block_name,
    get_model_name,
    get_payload_name,
)
from flobc.adapters.filesystem.log import LogReader
from flobc.composition.archive.genesis import require_usable
from flobc.errors import DataError, RemoteProtocolError
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block
from flobc.protocol.encoding import decode
from flobc.protocol.params import Genesis

FORMAT, VERSION = "flobc-chain", 1
_MAX_DIGITS = 20
"""A height is a U64; a longer number is nobody's."""
MANIFEST, GENESIS, LOG, TESTS = "manifest.json", "genesis", "log", "tests.json"

# what zipfile raises where bytes of an archive do not fit together
_ZIP_ERRORS = (zipfile.BadZipFile, OSError, EOFError, RuntimeError, ValueError, struct.error)


def get_block_entry(height: int) -> str:
    """Return the name of a block's entry."""
    return f"blocks/{get_block_name(height)}"


def get_payload_entry(update: bytes) -> str:
    """Return the name of a payload's entry."""
    return f"payloads/{get_payload_name(update)}"


def get_model_entry(digest: bytes) -> str:
    """Return the name of a model's entry."""
    return f"models/{get_model_name(digest)}"


class ExportArchive:
    """An export file, opened to read.

    **Raises** DataError when the file is damaged where opening must look, or of another version.
    """

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        with self._damage_named():
            self._zip = zipfile.ZipFile(path)
        self._names = self._index()
        manifest = self._read_json(MANIFEST)
        if not isinstance(manifest, dict) or (manifest.get("format"), manifest.get("version")) != (FORMAT, VERSION):
            raise DataError(f"{path} is no export of version {VERSION} of {FORMAT}; use the release that made it.")
        self.genesis = require_usable(self._read_genesis(), self.name)
        self.height = max((int(name[7:-6]) for name in self._names if _is_block_entry(name)), default=0)
        if manifest.get("height") != self.height:
            raise DataError(
                f"The export {path} should hold blocks up to height {manifest.get('height')}, but its newest is "
                f"{self.height}; export the chain again."
            )
        self.torn_bytes = 0

    def _index(self) -> frozenset[str]:
        entries = self._zip.infolist()
        names = frozenset(entry.filename for entry in entries)
        if len(names) < len(entries):
            raise DataError(f"The export {self.name} names an entry twice; export the chain again.")
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise DataError(
                f"The export {self.name} was packed anew with compression; use the file that flobc wrote, "
                "or unpack it and pack it without compression."
            )
        return names

    @contextmanager
    def _damage_named(self, entry: str = "") -> Iterator[None]:
        try:
            yield
        except _ZIP_ERRORS as error:
            where = f"{self.name}: {entry}" if entry else self.name
            raise DataError(f"The export {where} is damaged ({error}); export the chain again.") from error

    def _read(self, entry: str) -> bytes | None:
        if entry not in self._names:
            return None
        with self._damage_named(entry):
            return self._zip.read(entry)

    def _read_json(self, entry: str) -> Any:
        with self._damage_named(entry):
            return json.loads(self._read(entry) or b"null")

    def _read_genesis(self) -> Genesis:
        try:
            return decode(Genesis, self._read(GENESIS) or b"")
        except RemoteProtocolError as error:
            raise DataError(f"The genesis in {self.name} is damaged ({error}); export the chain again.") from error

    def _label(self, entry: str) -> str:
        return f"{self.name}: {entry}"

    def records(self) -> Iterator[bytes]:
        """Yield the log's records. **Raises** DataError at the first damaged one that is not the tail."""
        if LOG not in self._names:
            return
        with self._damage_named(LOG), self._zip.open(LOG) as file:
            reader = LogReader(file, self._zip.getinfo(LOG).file_size, self._label(LOG))
            yield from reader
            self.torn_bytes = reader.torn_bytes

    def block(self, height: int) -> Block | None:
        """Return the block stored for a height, or None."""
        entry = get_block_entry(height)
        data = self._read(entry)
        return None if data is None else decode_block(data, self._label(entry))

    def payload(self, update: bytes) -> Payload | None:
        """Return what is stored as an update's payload, or None."""
        entry = get_payload_entry(update)
        data = self._read(entry)
        return None if data is None else decode_payload(data, self._label(entry))

    def model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return what is stored as a model, or None."""
        entry = get_model_entry(digest)
        data = self._read(entry)
        return None if data is None else decode_model(data, self._label(entry))

    def state(self, digest: bytes) -> bytes | None:
        """Return None: the log is here, and every state follows from it."""
        del digest
        return None

    def tests(self) -> dict[int, float]:
        """Return the test accuracy by height."""
        with self._damage_named(TESTS):
            found = self._read_json(TESTS) or {}
            if not isinstance(found, dict) or not all(_is_finite(item) for item in found.values()):
                raise ValueError("expected an object of finite numbers")
            return {int(height): accuracy for height, accuracy in found.items()}

    def close(self) -> None:
        """Close the file."""
        self._zip.close()


def _is_finite(value: object) -> bool:
    return isinstance(value, float) and math.isfinite(value)


def _is_block_entry(name: str) -> bool:
    height = name[7:-6]
    return height.isdecimal() and len(height) < _MAX_DIGITS and get_block_entry(int(height)) == name
