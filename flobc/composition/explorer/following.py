"""One thread that follows the chain for all viewers: examines each block once and enters it into the index."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from flobc.composition.explorer.examining import Examiner
from flobc.composition.explorer.index import Entry, Index
from flobc.composition.explorer.sources import ChainSource, SeenBlock
from flobc.errors import FlobcError
from flobc.protocol.chain.block import compute_header_digest

RETRY_S = 1.0
BATCH = 64
"""Blocks entered together while there are many: a commit a block would take most of the time."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Condition:
    """How the explorer stands to its source.

    ``height`` is what is indexed, ``target`` what the source had when it was asked; ``trouble`` is why nothing comes.
    """

    height: int
    target: int | None
    trouble: str | None

    @property
    def word(self) -> str:
        """One of ``live``, ``catching up`` and ``reconnecting``."""
        if self.trouble is not None:
            return "reconnecting"
        return "live" if self.target is not None and self.height >= self.target else "catching up"


class Follower:
    """Follows one source until it is stopped; ``on_change`` is called on its thread after each step."""

    def __init__(self, source: ChainSource, index: Index) -> None:
        self.on_change: Callable[[Condition], None] = lambda _: None
        self._source, self._index = source, index
        self._examiner = Examiner(source.genesis)
        self._parent = b""
        self._target: int | None = None
        self._trouble: str | None = None
        self._waiting: list[Entry] = []
        self._is_own_past = index.height == 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flobc-explorer", daemon=True)

    @property
    def condition(self) -> Condition:
        """Where it stands now."""
        return Condition(self._index.height, self._target, self._trouble)

    def start(self) -> None:
        """Go on behind the index."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop; the source must be closed too, or a stream that waits is waited for."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(timeout_s)

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._follow()
            except FlobcError as error:
                self._fail(str(error))
            except sqlite3.Error as error:
                self._fail(f"The explorer's index cannot be written ({error}); see that there is room for it.")
            except Exception as error:  # whatever a stranger's chain makes of us: a thread that ended would not tell
                self._fail(f"The explorer cannot take in what comes next ({error!r}); please report it.", error)
            self._stopping.wait(RETRY_S)

    def _fail(self, trouble: str, defect: Exception | None = None) -> None:
        if not self._stopping.is_set():
            if trouble != self._trouble:
                logger.warning("nothing comes: %s", trouble, exc_info=defect)
            self._trouble = trouble
            self.on_change(self.condition)

    def _follow(self) -> None:
        """Follow until something fails. **Raises** FlobcError; what came before it is entered."""
        self._target = self._source.read_height()
        if not self._is_own_past:
            self._require_own_past()
        if self._index.height >= self._target:
            self._trouble = None
        self.on_change(self.condition)
        first = self._index.height + 1
        self._waiting, self._parent = [], self._read_head()
        try:
            for height, seen in enumerate(self._source.follow(first), first):
                if self._stopping.is_set():
                    return
                self._take(height, seen)
        finally:
            self._enter()

    def _require_own_past(self) -> None:
        """Begin anew when the newest block of a kept index is not on the source's chain. **Raises** FlobcError."""
        height = self._index.height
        found = self._source.list_certified(height, 1)
        if not found or compute_header_digest(found[0].header) != self._read_head():
            logger.warning("the source knows no such block %d: the index is built again", height)
            self._index.clear()
        self._is_own_past = True

    def _read_head(self) -> bytes:
        """Return the digest of the newest header in the index; the genesis's where there is none."""
        row = self._index.select_one("SELECT digest FROM blocks WHERE height = ?", self._index.height)
        return self._examiner.first_digest if row is None else bytes(row["digest"])

    def _take(self, height: int, seen: SeenBlock) -> None:
        target = self._target or 0
        is_new = height > target
        if seen.missing is not None:
            defect: str | None = f"its body cannot be had: {seen.missing}"
        else:
            defect = self._examiner.find_link_defect(seen.block, self._parent, height)
        self._parent = compute_header_digest(seen.block.header)
        core = seen.core if defect is None else None  # what nobody certified may be anything
        self._waiting.append(Entry(height, seen.block, core, defect, time.time() if is_new else None))
        if defect is not None:
            logger.warning("block %d does not hold: %s", height, defect, extra={"height": height})
        if height >= target or len(self._waiting) >= BATCH:
            self._enter()
        if height == target:
            # what was made meanwhile was not seen to come
            self._target = max(height, self._source.read_height())

    def _enter(self) -> None:
        """Enter what waits into the index, and tell of it."""
        if self._waiting and not self._stopping.is_set():
            self._index.add(self._waiting)
            self._waiting = []
            self._trouble = None
            self.on_change(self.condition)
