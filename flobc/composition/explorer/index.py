"""What the explorer remembers of every block: a few numbers a row in SQLite, so that no page reads the chain."""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flobc.composition.explorer.keeping import IndexFile
from flobc.protocol.chain.block import Block, Decision, Reason, compute_header_digest
from flobc.protocol.consensus.state import CoreState
from flobc.protocol.median import compute_lower_median
from flobc.protocol.params import Genesis, get_chain_id
from flobc.protocol.trust.policies import compute_trust_shares

_SCHEMA = """
CREATE TABLE blocks (
  height INTEGER PRIMARY KEY, digest BLOB, parent BLOB, model BLOB, state BLOB, closing TEXT, loss INTEGER,
  accuracy INTEGER, accepted INTEGER, rejected INTEGER, unused INTEGER, seals INTEGER, evidence INTEGER,
  size_bytes INTEGER, vote_ms INTEGER, seen_s REAL, defect TEXT);
CREATE INDEX blocks_by_digest ON blocks (digest);
CREATE INDEX blocks_by_parent ON blocks (parent);
CREATE INDEX blocks_by_model ON blocks (model);
CREATE INDEX blocks_by_state ON blocks (state);
CREATE INDEX blocks_defect ON blocks (height) WHERE defect IS NOT NULL;
CREATE TABLE updates (
  height INTEGER, place INTEGER, id BLOB, trainer BLOB, base INTEGER, k INTEGER, outcome TEXT, score INTEGER,
  staleness INTEGER, weight INTEGER, size_bytes INTEGER, examples INTEGER, PRIMARY KEY (height, place)) WITHOUT ROWID;
CREATE INDEX updates_by_id ON updates (id);
CREATE INDEX updates_by_trainer ON updates (trainer, height);
CREATE TABLE trust (trainer BLOB, height INTEGER, share REAL, probation INTEGER, PRIMARY KEY (trainer, height))
  WITHOUT ROWID;
CREATE INDEX trust_by_height ON trust (height);
CREATE TABLE work (
  validator BLOB, height INTEGER, votes INTEGER, distance INTEGER, elapsed_ms INTEGER, sealed INTEGER,
  PRIMARY KEY (validator, height)) WITHOUT ROWID;
CREATE TABLE outcomes (
  trainer BLOB, outcome TEXT, number INTEGER, score REAL, PRIMARY KEY (trainer, outcome)) WITHOUT ROWID;
CREATE TABLE works (
  validator BLOB PRIMARY KEY, blocks INTEGER, votes INTEGER, sealed INTEGER, voted INTEGER, distance REAL,
  elapsed_ms REAL) WITHOUT ROWID;
"""
"""``outcomes`` and ``works`` are sums over all blocks: what a page shows of a whole chain is not added up for it."""
_TABLES = ("blocks", "updates", "trust", "work", "outcomes", "works")
CACHE_KIB = 8 * 1024
"""How much of the index each of its connections may keep in memory."""

MAX_INTEGER = 2**63 - 1

Row = sqlite3.Row


@dataclass(frozen=True)
class Entry:
    """One block for the index, which stands at ``height``, whatever it says itself.

    ``defect`` says what is wrong with it, None if nothing; ``seen_s`` is when it came, None if it was there before.
    """

    height: int
    block: Block
    core: CoreState | None
    defect: str | None
    seen_s: float | None


class Index:
    """Rows of all blocks up to ``height``; written by one thread, read by many.

    The file is kept in ``directory``, or lasts as long as this where there is none. ``version`` changes with every
    block, so that whoever keeps a page knows whether it is still good; ``beginnings`` when all is forgotten.

    **Raises** UsageError when the directory cannot be used.
    """

    def __init__(self, genesis: Genesis, directory: Path | None = None) -> None:
        self._params, self._validators = genesis.params, genesis.validators
        self._file = IndexFile(directory, get_chain_id(genesis))
        self._path = self._file.path
        is_kept = self._file.open_or_clear()
        self._local = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._lock = threading.Lock()
        self._writer = self._connect()
        self._writer.execute("PRAGMA journal_mode=WAL")
        self.height, self.version, self.beginnings = 0, 0, 0
        if is_kept:
            self._go_on()
        else:
            self._begin()

    def add(self, entries: Sequence[Entry]) -> None:
        """Enter the next blocks, all of them or none."""
        with self._writer:
            for entry in entries:
                self._add_block(entry)
                self._add_updates(entry)
                self._add_trust(entry)
                self._add_work(entry)
        self.height = max(self.height, *(entry.height for entry in entries))
        self.version += 1

    def clear(self) -> None:
        """Forget every block: the chain that is followed is not the one that was entered."""
        with self._writer:
            for table in _TABLES:
                self._writer.execute(f"DELETE FROM {table}")
        self.height = 0
        self.beginnings += 1
        self.version += 1

    def select(self, sql: str, *values: Any) -> list[Row]:
        """Return the rows of a query; from any thread."""
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = self._local.connection = self._connect()
        found: list[Row] = connection.execute(sql, values).fetchall()
        return found

    def select_one(self, sql: str, *values: Any) -> Row | None:
        """Return a query's first row, or None."""
        found = self.select(sql, *values)
        return found[0] if found else None

    def close(self) -> None:
        """Close the file, and remove it unless it is kept."""
        with self._lock:
            for connection in self._connections:
                connection.close()
        self._file.close()

    def _begin(self) -> None:
        self._writer.executescript(f"BEGIN; {_SCHEMA}")
        with self._writer:
            self._file.write_mark(self._writer)

    def _go_on(self) -> None:
        row = self._writer.execute("SELECT MAX(height) height FROM blocks").fetchone()
        self.height = row["height"] or 0
        with self._writer:  # between these blocks and the next ones nobody looked
            self._writer.execute("UPDATE blocks SET seen_s = NULL WHERE seen_s IS NOT NULL")

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self._path, check_same_thread=False, timeout=30)
        connection.row_factory = sqlite3.Row
        connection.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        connection.execute("PRAGMA synchronous=NORMAL")
        with self._lock:
            self._connections.append(connection)
        return connection

    def _add_block(self, entry: Entry) -> None:
        block, header = entry.block, entry.block.header
        elapsed = [vote.elapsed_ms for votes in block.body.votes for vote in votes.votes]
        values = (
            entry.height,
            compute_header_digest(header),
            header.parent,
            header.model,
            header.state,
            header.closing.name.lower(),
            header.loss,
            header.accuracy,
            len(block.accepted),
            len(block.rejected),
            len(block.body.decisions) - len(block.accepted) - len(block.rejected),
            len(block.certificate),
            len(block.body.evidence),
            _fit(sum(update.size_bytes for update in block.body.headers)),
            compute_lower_median(elapsed) if elapsed else None,
            entry.seen_s,
            entry.defect,
        )
        self._insert("blocks", [values])

    def _add_updates(self, entry: Entry) -> None:
        height, body = entry.height, entry.block.body
        sizes = [(_fit(header.size_bytes), _fit(header.num_examples)) for header in body.headers]
        if len(sizes) != len(body.decisions):
            sizes = [(0, 0)] * len(body.decisions)
        self._insert(
            "updates",
            [
                (
                    height,
                    place,
                    item.update,
                    item.trainer,
                    _fit(item.base_height),
                    item.k,
                    describe_outcome(item),
                    item.score,
                    item.staleness,
                    item.weight,
                    *size,
                )
                for place, (item, size) in enumerate(zip(body.decisions, sizes, strict=True))
            ],
        )
        self._writer.executemany(
            "INSERT INTO outcomes VALUES (?, ?, 1, ?) ON CONFLICT DO UPDATE SET"
            " number = number + 1, score = score + excluded.score",
            [(item.trainer, describe_outcome(item), item.score) for item in body.decisions],
        )

    def _add_trust(self, entry: Entry) -> None:
        core = entry.core
        if core is None:
            return
        shares = compute_trust_shares(self._params.trust, core.trust)
        self._insert(
            "trust",
            [
                (trainer, entry.height, share, core.trust.entries[trainer].probation)
                for trainer, share in shares.items()
            ],
        )

    def _add_work(self, entry: Entry) -> None:
        block = entry.block
        sealed = {seal.validator for seal in block.certificate}
        votes: dict[bytes, list[tuple[int, int]]] = {key: [] for key in self._validators}
        for decision, counted in zip(block.body.decisions, block.body.votes, strict=False):
            for vote in counted.votes:
                votes.setdefault(vote.validator, []).append((abs(vote.score - decision.score), vote.elapsed_ms))
        rows = [
            (
                key,
                entry.height,
                len(found),
                sum(distance for distance, _ in found) // len(found) if found else None,
                compute_lower_median([elapsed for _, elapsed in found]) if found else None,
                key in sealed,
            )
            for key, found in votes.items()
        ]
        self._insert("work", rows)
        self._writer.executemany(
            "INSERT INTO works VALUES (?, 1, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET blocks = blocks + 1,"
            " votes = votes + excluded.votes, sealed = sealed + excluded.sealed, voted = voted + excluded.voted,"
            " distance = distance + excluded.distance, elapsed_ms = elapsed_ms + excluded.elapsed_ms",
            [
                (key, number, seal, distance is not None, distance or 0, elapsed or 0)
                for key, _, number, distance, elapsed, seal in rows
            ],
        )

    def _insert(self, table: str, rows: list[tuple[Any, ...]]) -> None:
        if rows:
            places = ",".join("?" * len(rows[0]))
            self._writer.executemany(f"INSERT INTO {table} VALUES ({places})", rows)


def _fit(value: int) -> int:
    """Return a number as large as SQLite takes: what a trainer claims may need one bit more."""
    return min(value, MAX_INTEGER)


def describe_outcome(decision: Decision) -> str:
    """Return the word for what became of an update: the reason, or for a fault which one."""
    name = decision.fault.name if decision.reason is Reason.FAULT else decision.reason.name
    return name.lower().replace("_", " ")
