"""What pages ask the index: totals, pages of rows, curves and search. Pages hold ``PAGE`` rows, whatever the chain."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flobc.composition.explorer.index import Index, Row

PAGE = 50
MAX_POINTS = 400
"""Points of a curve: more than a screen shows would only make pages large."""
RATE_BLOCKS = 20
"""Over how many blocks, seen as they came, rounds are counted by the minute."""
MIN_PREFIX = 4
MAX_FOUND = 20


@dataclass(frozen=True)
class Page:
    """Some rows of a list, newest first; ``older`` and ``newer`` are where the next pages begin, None at an end."""

    rows: Sequence[Row]
    older: int | None
    newer: int | None


@dataclass(frozen=True)
class Totals:
    """Counts over the whole chain."""

    accepted: int
    rejected: int
    unused: int
    evidence: int
    size_bytes: int
    broken: int


NOTHING = Totals(0, 0, 0, 0, 0, 0)


@dataclass(frozen=True)
class Found:
    """Something that a search found: its ``kind``, its name, and the path of its page."""

    kind: str
    name: str
    path: str


class Queries:
    """Questions to one index; each costs about the same on a long chain as on a short one."""

    def __init__(self, index: Index) -> None:
        self._index = index
        self._totals = (index.beginnings, 0, NOTHING)

    def read_totals(self) -> Totals:
        """Return the counts; only blocks that came since the last call are added up."""
        beginnings, upto, before = self._totals
        if beginnings != self._index.beginnings:
            beginnings, upto, before = self._index.beginnings, 0, NOTHING
        height = self._index.height
        row = self._index.select_one(
            "SELECT TOTAL(accepted) a, TOTAL(rejected) r, TOTAL(unused) u, TOTAL(evidence) e, TOTAL(size_bytes) s,"
            " COUNT(defect) d FROM blocks WHERE height > ? AND height <= ?",
            upto,
            height,
        )
        if row is not None and height > upto:
            before = Totals(
                before.accepted + int(row["a"]),
                before.rejected + int(row["r"]),
                before.unused + int(row["u"]),
                before.evidence + int(row["e"]),
                before.size_bytes + int(row["s"]),
                before.broken + int(row["d"]),
            )
            self._totals = (beginnings, height, before)
        return before

    def read_block(self, height: int) -> Row | None:
        """Return a block's row, or None."""
        return self._index.select_one("SELECT * FROM blocks WHERE height = ?", height)

    def list_blocks(self, before: int | None = None, count: int = PAGE) -> Page:
        """Return blocks below height ``before``, the newest unless given."""
        top = self._index.height + 1 if before is None else min(before, self._index.height + 1)
        rows = self._index.select("SELECT * FROM blocks WHERE height < ? ORDER BY height DESC LIMIT ?", top, count)
        older = rows[-1]["height"] if rows and rows[-1]["height"] > 1 else None
        newer = min(top + count, self._index.height + 1) if top <= self._index.height else None
        return Page(rows, older, newer)

    def list_broken(self) -> Sequence[Row]:
        """Return the first blocks that do not hold."""
        return self._index.select(
            "SELECT height, defect FROM blocks WHERE defect IS NOT NULL ORDER BY height LIMIT ?", MAX_FOUND
        )

    def list_latest_updates(self, count: int) -> Sequence[Row]:
        """Return the newest decided updates."""
        return self._index.select(
            "SELECT * FROM updates WHERE height > ? ORDER BY height DESC, place LIMIT ?",
            self._index.height - count,
            count,
        )

    def find_update(self, update: bytes) -> Row | None:
        """Return an update's row, or None when no block decides it."""
        return self._index.select_one("SELECT * FROM updates WHERE id = ?", update)

    def list_updates(self, trainer: bytes, before: int | None = None) -> Page:
        """Return whole blocks' updates of a trainer, below height ``before``."""
        top = self._index.height + 1 if before is None else before
        rows = self._index.select(
            "SELECT * FROM updates WHERE trainer = ? AND height < ? ORDER BY height DESC, place LIMIT ?",
            trainer,
            top,
            PAGE + 1,
        )
        older = None
        if len(rows) > PAGE:
            cut = rows[PAGE]["height"]
            # a block's updates stay together, unless one block alone fills the page
            kept = [row for row in rows[:PAGE] if row["height"] > cut] or rows[:PAGE]
            rows, older = kept, kept[-1]["height"]
        return Page(rows, older, None if before is None else self._index.height + 1)

    def list_trainers(self, first: int = 0) -> Page:
        """Return trainers by their share of trust at the newest height of which a state is known."""
        rows = self._index.select(
            "SELECT trainer, share, probation FROM trust WHERE height = (SELECT MAX(height) FROM trust)"
            " ORDER BY share DESC, trainer LIMIT ? OFFSET ?",
            PAGE + 1,
            first,
        )
        older = first + PAGE if len(rows) > PAGE else None
        return Page(rows[:PAGE], older, max(0, first - PAGE) if first else None)

    def count_outcomes(self, trainer: bytes) -> Sequence[Row]:
        """Return how often each outcome was a trainer's, with the score's mean."""
        return self._index.select(
            "SELECT outcome, number, score / number score FROM outcomes WHERE trainer = ? ORDER BY number DESC",
            trainer,
        )

    def read_standing(self, trainer: bytes) -> Row | None:
        """Return a trainer's newest trust, or None."""
        return self._index.select_one("SELECT * FROM trust WHERE trainer = ? ORDER BY height DESC LIMIT 1", trainer)

    def read_trust_curve(self, trainer: bytes) -> Sequence[Row]:
        """Return a trainer's share of trust by height, thinned out."""
        return self._select_thinned(
            "SELECT height, share FROM points JOIN trust USING (height) WHERE trainer = ?", trainer
        )

    def read_weight_curve(self, trainer: bytes) -> Sequence[Row]:
        """Return the weights and scores of a trainer's updates by height, thinned out."""
        return self._select_thinned(
            "SELECT height, weight, score FROM points JOIN updates USING (height) WHERE trainer = ?", trainer
        )

    def read_curve(self) -> Sequence[Row]:
        """Return what blocks say of learning by height, thinned out."""
        return self._select_thinned(
            "SELECT height, loss, accuracy, accepted, rejected, vote_ms FROM points JOIN blocks USING (height)"
        )

    def read_work(self, validator: bytes) -> Row | None:
        """Return a validator's counts over the whole chain."""
        return self._index.select_one(
            "SELECT blocks, votes, sealed, distance / NULLIF(voted, 0) distance,"
            " elapsed_ms / NULLIF(voted, 0) elapsed_ms FROM works WHERE validator = ?",
            validator,
        )

    def list_work(self, validator: bytes, before: int | None = None) -> Page:
        """Return what a validator did block by block, below height ``before``."""
        top = self._index.height + 1 if before is None else min(before, self._index.height + 1)
        rows = self._index.select(
            "SELECT * FROM work WHERE validator = ? AND height < ? ORDER BY height DESC LIMIT ?", validator, top, PAGE
        )
        older = rows[-1]["height"] if rows and rows[-1]["height"] > 1 else None
        newer = min(top + PAGE, self._index.height + 1) if top <= self._index.height else None
        return Page(rows, older, newer)

    def read_work_curve(self, validator: bytes) -> Sequence[Row]:
        """Return a validator's distance from the median by height, thinned out."""
        return self._select_thinned(
            "SELECT height, distance FROM points JOIN work USING (height) WHERE validator = ? AND distance IS NOT NULL",
            validator,
        )

    def measure_rate(self) -> float | None:
        """Return rounds a minute over the newest blocks that were seen as they came; None while they are too few."""
        rows = self._index.select(
            "SELECT seen_s FROM blocks WHERE height > ? AND seen_s IS NOT NULL ORDER BY height",
            self._index.height - RATE_BLOCKS,
        )
        if len(rows) < 2 or rows[-1]["seen_s"] <= rows[0]["seen_s"]:
            return None
        return float(60 * (len(rows) - 1) / (rows[-1]["seen_s"] - rows[0]["seen_s"]))

    def stream_blocks(self) -> Iterator[Row]:
        """Yield all blocks' rows in order, some at a time."""
        height = 0
        while rows := self._index.select("SELECT * FROM blocks WHERE height > ? ORDER BY height LIMIT 500", height):
            yield from rows
            height = rows[-1]["height"]

    def stream_updates(self) -> Iterator[Row]:
        """Yield all updates' rows in order, some blocks at a time."""
        height = 0
        while height < self._index.height:
            yield from self._index.select(
                "SELECT * FROM updates WHERE height > ? AND height <= ? ORDER BY height, place", height, height + 50
            )
            height += 50

    def search(self, digits: str) -> list[Found]:
        """Return what has a digest, id or key that begins with these hexadecimal digits."""
        low = bytes.fromhex(digits.ljust(64, "0"))
        high = bytes.fromhex(digits.ljust(64, "f"))
        found: list[Found] = []
        for column, kind in (("digest", "block"), ("model", "model of block"), ("state", "state of block")):
            for row in self._select_range("blocks", column, low, high):
                found.append(Found(f"{kind} {row['height']}", row["name"].hex(), f"/blocks/{row['height']}"))
        for row in self._select_range("updates", "id", low, high):
            found.append(Found("update", row["name"].hex(), f"/updates/{row['name'].hex()}"))
        return found

    def find_trainers(self, digits: str) -> list[bytes]:
        """Return trainers whose keys begin with these hexadecimal digits: those with trust, or with an update."""
        low, high = bytes.fromhex(digits.ljust(64, "0")), bytes.fromhex(digits.ljust(64, "f"))
        found = self._index.select(
            "SELECT trainer FROM trust WHERE height = (SELECT MAX(height) FROM trust) AND trainer BETWEEN ? AND ?"
            " UNION SELECT trainer FROM updates WHERE trainer BETWEEN ? AND ? ORDER BY trainer LIMIT ?",
            *(low, high, low, high, MAX_FOUND),
        )
        return [row["trainer"] for row in found]

    def _select_thinned(self, sql: str, *values: bytes) -> list[Row]:
        """Return a query's rows at ``points``: at most so many heights, the newest among them."""
        top = self._index.height
        return self._index.select(
            "WITH RECURSIVE points (height) AS (SELECT ? UNION ALL SELECT height - ? FROM points WHERE height > ?) "
            f"{sql} ORDER BY height",
            *(top, self.step, self.step, *values),
        )

    def _select_range(self, table: str, column: str, low: bytes, high: bytes) -> list[Row]:
        return self._index.select(
            f"SELECT height, {column} name FROM {table} WHERE {column} BETWEEN ? AND ? ORDER BY height LIMIT ?",
            low,
            high,
            MAX_FOUND,
        )

    @property
    def step(self) -> int:
        """How many heights one point of a curve stands for."""
        return max(1, -(-self._index.height // MAX_POINTS))
