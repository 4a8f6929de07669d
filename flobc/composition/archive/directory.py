"""A run's directory as an archive."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem import FileModels, FilePayloads, LogReader, open_regular
from flobc.adapters.filesystem.stores import read_block
from flobc.composition.archive.genesis import require_usable
from flobc.composition.run_directory import load_genesis, load_height, load_tests
from flobc.errors import DataError
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block


class DirectoryArchive:
    """A run's files as they were when it was opened; a run that goes on only adds to them.

    The blocks are listed before the log is measured: a block is stored after the record that
    commits it, so the log seen here reaches at least as far as the blocks.

    **Raises** DataError when the directory holds no run or a genesis that no chain can live with.
    """

    def __init__(self, root: Path) -> None:
        self.name = str(root)
        self.genesis = require_usable(load_genesis(root), self.name)
        self._root = root
        self.height = load_height(root)
        log = root / "log"
        self._log_bytes = log.stat().st_size if log.exists() else 0
        self.torn_bytes = 0
        self._payloads = FilePayloads(root / "payloads")
        self._models = FileModels(root / "models")

    @contextmanager
    def _damage_named(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"The run in {self.name} cannot be read ({error}); check permissions and disk.") from error

    def records(self) -> Iterator[bytes]:
        """Yield the log's records. **Raises** DataError at the first damaged one that is not the tail."""
        path = self._root / "log"
        if not self._log_bytes:
            return
        with self._damage_named(), open_regular(path) as file:
            reader = LogReader(file, self._log_bytes, path)
            yield from reader
            self.torn_bytes = reader.torn_bytes

    def block(self, height: int) -> Block | None:
        """Return the block stored for a height, or None."""
        with self._damage_named():
            return read_block(self._root / "blocks", height) if 1 <= height <= self.height else None

    def payload(self, update: bytes) -> Payload | None:
        """Return what is stored as an update's payload, or None."""
        with self._damage_named():
            return self._payloads.get(update)

    def model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return what is stored as a model, or None, also when a run that goes on has just dropped it."""
        with self._damage_named(), suppress(FileNotFoundError):
            return self._models.get(digest)
        return None

    def state(self, digest: bytes) -> bytes | None:
        """Return None: the log is here, and every state follows from it."""
        del digest
        return None

    def tests(self) -> dict[int, float]:
        """Return the test accuracy by height; a line that a killed run left half written is skipped."""
        with self._damage_named():
            return {height: report.accuracy for height, report in load_tests(self._root).items()}

    def close(self) -> None:
        """Nothing stays open."""
