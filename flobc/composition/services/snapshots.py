"""Where a service stood in its topics, so that a restart reads on from there instead of from the first record."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from flobc.adapters.filesystem import write_atomically
from flobc.adapters.filesystem.files import read_regular
from flobc.composition.services.parts import Loop
from flobc.errors import DataError, RemoteProtocolError
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.encoding import U32, U64, decode, encode

INTERVAL_MS = 10_000
"""How often at most a snapshot is written: reading ten seconds of log again takes no time."""
MAX_BYTES = 1 << 28

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """The chain as the log has it before ``offset``, and from where on each partition of the updates is of use.

    A node's own notes, as its seals are: it believes them, and nobody else is shown them.
    """

    state: ChainState
    offset: U64
    updates: dict[U32, U64]


class Snapshots:
    """Keeps a service's newest snapshot in one file; its methods run on the loop."""

    def __init__(self, path: Path, loop: Loop) -> None:
        self._path = path
        self._scheduler = loop.scheduler
        self._next_ms = 0

    def load(self, chain: bytes) -> Snapshot | None:
        """Return what was kept of this chain, or None: a damaged file only costs time."""
        try:
            data = read_regular(self._path, MAX_BYTES)
            snapshot = None if data is None else decode(Snapshot, data)
        except (DataError, RemoteProtocolError, OSError) as error:
            logger.warning("The snapshot %s is of no use (%s): reading from the beginning.", self._path, error)
            return None
        return snapshot if snapshot is not None and snapshot.state.chain == chain else None

    def save(self, snapshot: Snapshot) -> None:
        """Keep a snapshot, on a worker, if the last one is old enough."""
        now_ms = self._scheduler.now_ms
        if now_ms < self._next_ms:
            return
        self._next_ms = now_ms + INTERVAL_MS
        self._scheduler.submit("snapshot", lambda: self._write(snapshot), 0, lambda _: None)

    def _write(self, snapshot: Snapshot) -> None:
        try:
            write_atomically(self._path, [encode(snapshot)])
        except OSError as error:
            logger.warning("No snapshot was kept in %s: %s", self._path, error)
