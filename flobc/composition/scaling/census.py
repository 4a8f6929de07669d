"""Whether any update was lost or counted twice: what the topic holds against what blocks decide."""

from __future__ import annotations

import enum
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from flobc.errors import FlobcError, RemoteProtocolError, TransientError, VerificationError
from flobc.ports.topics import Topic
from flobc.protocol.chain.block import Block, Closing
from flobc.protocol.messages import (
    UpdateChunk,
    UpdateHeader,
    compute_update_id,
    decode_record,
    verify_header,
)
from flobc.protocol.params import Genesis
from flobc.protocol.sync.policies import is_base_allowed

WHOLE_ROUNDS = 3
"""An update that was there for so many whole rounds in which it was admissible was in time."""
READ_S = 0.5
STOP_S = 10.0


class Fate(enum.Enum):
    """What became of a whole update.

    DECIDED: one block decides it (ROUND-12). OVERTAKEN: none does, and its trainer has a newer base used (ROUND-3).
    LATE: none does, and it came too late for the rounds it was good for (SYNC-11). OPEN: it may still be decided.
    LOST: none of these.
    """

    DECIDED = "decided"
    OVERTAKEN = "overtaken"
    LATE = "late"
    OPEN = "open"
    LOST = "lost"


@dataclass
class Published:
    """An update in the topic; ``at_height`` is the chain's height when its last chunk was read."""

    header: UpdateHeader
    chunks: set[int] = field(default_factory=set)
    at_height: int | None = None


class BlockBook:
    """What blocks decided, added block by block in their order. **Raises** VerificationError for a second decision."""

    def __init__(self, genesis: Genesis) -> None:
        self.params = genesis.params.sync
        self.height = 0
        self._closings: dict[int, Closing] = {}
        self._decided: dict[bytes, int] = {}
        self._last_used: dict[bytes, int] = {}
        self._trainers: dict[int, frozenset[bytes]] = {}
        self._accepted: dict[int, list[bytes]] = {}

    def add(self, block: Block) -> None:
        """Take in the next block, body included."""
        for decision in block.body.decisions:
            before = self._decided.setdefault(decision.update, block.height)
            if before != block.height:
                raise VerificationError(
                    block.height,
                    "ROUND-12",
                    f"it decides update {decision.update.hex()[:12]}, which block {before} decided already",
                )
        updates = [decision.update for decision in block.body.decisions]
        if len(set(updates)) != len(updates):
            raise VerificationError(block.height, "ROUND-12", "it decides an update twice")
        self._closings[block.height] = block.header.closing
        self._trainers[block.height] = frozenset(decision.trainer for decision in block.body.decisions)
        self._accepted[block.height] = [decision.trainer for decision in block.accepted]
        for decision in block.accepted:
            self._last_used[decision.trainer] = max(decision.base_height, self._last_used.get(decision.trainer, -1))
        self.height = block.height

    def list_trainers(self, first: int, last: int) -> frozenset[bytes]:
        """Return whose updates the blocks from ``first`` to ``last`` decide."""
        return frozenset().union(*(self._trainers.get(height, frozenset()) for height in range(first, last + 1)))

    def count_accepted(self, first: int, last: int) -> int:
        """Return how many updates these blocks accept."""
        return sum(len(self._accepted.get(height, ())) for height in range(first, last + 1))

    def judge(self, update: bytes, published: Published) -> Fate:
        """Return what became of a whole update."""
        header = published.header
        if update in self._decided:
            return Fate.DECIDED
        if header.base_height < self._last_used.get(header.trainer, -1):
            return Fate.OVERTAKEN
        if header.base_height > self.height or is_base_allowed(self.params, header.base_height, self.height):
            return Fate.OPEN
        return Fate.LOST if self._was_in_time(published) else Fate.LATE

    def _was_in_time(self, published: Published) -> bool:
        header = published.header
        if self.params.scheme == "bsp":
            # a round that waited for every active trainer waited for this one
            before = range(max(1, header.base_height - self.params.liveness_rounds + 1), header.base_height + 1)
            was_active = any(header.trainer in self._accepted.get(height, ()) for height in before)
            return was_active and self._closings.get(header.base_height + 1) is Closing.COMPLETE
        last = header.base_height + self.params.max_staleness
        seen = self.height if published.at_height is None else published.at_height
        return last - seen >= WHOLE_ROUNDS


class UpdateCensus:
    """Reads a chain's updates in a thread of its own; use it as a context manager. Updates from before do not count."""

    def __init__(self, topic: Topic, get_height: Callable[[], int], *, from_start: bool) -> None:
        self._topic = topic
        self._get_height = get_height
        self._lock = threading.Lock()
        self._updates: dict[bytes, Published] = {}
        self._chunks: dict[bytes, set[int]] = defaultdict(set)
        self._positions: dict[int, int] = {} if from_start else topic.ends()
        self._stopped = False
        self._is_asked, self._caught_up = threading.Event(), threading.Event()
        self._failure: FlobcError | None = None
        self._topic.seek(self._positions)
        self._thread = threading.Thread(target=self._read, name="flobc-census", daemon=True)

    def __enter__(self) -> UpdateCensus:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped = True
        self._thread.join(STOP_S)
        self._topic.close(0)

    def catch_up(self, timeout_s: float) -> None:
        """Return when everything that is in the topic now was read.

        **Raises** TransientError when that takes too long, DataError when records are gone.
        """
        self._caught_up.clear()
        self._is_asked.set()
        if not self._caught_up.wait(timeout_s):
            raise TransientError(f"The updates could not be read in {timeout_s:.0f} s; look at Kafka.", READ_S)
        if self._failure is not None:
            raise self._failure

    def count_fates(self, book: BlockBook) -> Counter[Fate]:
        """Return how many whole updates came to what."""
        with self._lock:
            whole = [(update, each) for update, each in self._updates.items() if each.at_height is not None]
        return Counter(book.judge(update, each) for update, each in whole)

    def note(self, values: Iterable[bytes]) -> None:
        """Take in records of the topic; what is none of ours is left out."""
        height = self._get_height()
        with self._lock:
            for value in values:
                self._note_one(value, height)

    def _note_one(self, value: bytes, height: int) -> None:
        try:
            record = decode_record(value)
        except RemoteProtocolError:
            return
        if isinstance(record, UpdateHeader) and verify_header(record):
            update = compute_update_id(record)
            self._updates.setdefault(update, Published(record, self._chunks[update]))
        elif isinstance(record, UpdateChunk):
            update = record.update
            self._chunks[update].add(record.index)
        else:
            return
        found = self._updates.get(update)
        if found is not None and found.at_height is None and len(found.chunks) >= found.header.num_chunks:
            found.at_height = height

    def _read(self) -> None:
        goal: dict[int, int] | None = None
        while not self._stopped:
            try:
                entries = self._topic.read(READ_S)
                if self._is_asked.is_set():
                    self._is_asked.clear()
                    goal = self._topic.ends()
            except TransientError as error:
                time.sleep(min(error.delay_s, READ_S))
                continue
            except FlobcError as error:
                self._failure = error
                self._caught_up.set()
                return
            self.note(entry.value for entry in entries)
            self._positions |= {entry.partition: entry.offset + 1 for entry in entries}
            if goal is not None and all(self._positions.get(partition, 0) >= end for partition, end in goal.items()):
                goal = None
                self._caught_up.set()
