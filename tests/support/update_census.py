"""What became of every update of a system: read from both topics, all blocks and the trainers' logs."""

from __future__ import annotations

import enum
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field

from flobc.adapters.filesystem.keys import load_key_file
from flobc.composition.archive import open_archive
from flobc.composition.archive.chain_export import read_blocks
from flobc.ports.topics import Topic
from flobc.protocol.chain.block import Decision, Reason
from flobc.protocol.messages import UpdateChunk, UpdateHeader, compute_update_id, decode_record, verify_header
from tests.support.system import WholeSystem
from tests.support.system_logs import read_acknowledged, read_seen_blocks
from tests.support.topics import read_whole

WHOLE_ROUNDS = 3
"""An update that was there for so many whole rounds in which it was admissible was in time."""


class Fate(enum.Enum):
    """What became of an update that Kafka has acknowledged.

    DECIDED: blocks decide it (ROUND-12). OVERTAKEN: no block does, and its trainer has a newer base used (ROUND-3).
    LATE: no block does, and the chain made fewer than ``WHOLE_ROUNDS`` rounds between its acknowledgement and the
    head at which its base was too old (SYNC-11). OPEN: it may still be decided. VANISHED: none of these.
    """

    DECIDED = enum.auto()
    OVERTAKEN = enum.auto()
    LATE = enum.auto()
    OPEN = enum.auto()
    VANISHED = enum.auto()


@dataclass
class Census:
    """Updates by id, as the topic has them, and every decision on each with its block's height."""

    height: int
    max_staleness: int
    headers: dict[bytes, UpdateHeader] = field(default_factory=dict)
    chunks: dict[bytes, set[int]] = field(default_factory=lambda: defaultdict(set))
    decisions: dict[bytes, list[tuple[int, Decision]]] = field(default_factory=lambda: defaultdict(list))
    acknowledged: dict[bytes, dict[int, float]] = field(default_factory=dict)
    certified: list[float] = field(default_factory=list)

    def find(self, trainer: bytes, base: int) -> list[bytes]:
        """The updates of a trainer from a base that the topic holds whole."""
        return [
            update
            for update, header in self.headers.items()
            if (header.trainer, header.base_height) == (trainer, base) and len(self.chunks[update]) == header.num_chunks
        ]

    def get_head_at(self, time_s: float) -> int:
        """The height that the chain had when something happened, by the first node that saw it."""
        return bisect_right(self.certified, time_s)

    def judge(self, update: bytes, acknowledged_s: float) -> Fate:
        """What became of one update."""
        header = self.headers[update]
        if self.decisions.get(update):
            return Fate.DECIDED
        if header.base_height < self._get_last_used(header.trainer):
            return Fate.OVERTAKEN
        last = header.base_height + self.max_staleness  # the last head at which it may be voted on
        if last >= self.height:
            return Fate.OPEN
        return Fate.LATE if last - self.get_head_at(acknowledged_s) < WHOLE_ROUNDS else Fate.VANISHED

    def _get_last_used(self, trainer: bytes) -> int:
        bases = [item.base_height for _, item in self.list_accepted() if item.trainer == trainer]
        return max(bases, default=-1)

    def list_accepted(self) -> list[tuple[int, Decision]]:
        """Every accepted decision with its block's height."""
        return [each for found in self.decisions.values() for each in found if each[1].reason is Reason.ACCEPTED]

    def count_reasons(self) -> Counter[str]:
        """How many decisions there are by reason, and by fault where that is the reason."""
        every = [item for found in self.decisions.values() for _, item in found]
        return Counter((item.fault if item.reason is Reason.FAULT else item.reason).name.lower() for item in every)


def take_census(system: WholeSystem) -> Census:
    """Read everything; for a system in which nothing moves."""
    archive = open_archive(system.root)
    try:
        census = Census(archive.height, archive.genesis.params.sync.max_staleness)
        for block in read_blocks(archive):
            for decision in block.body.decisions:
                census.decisions[decision.update].append((block.height, decision))
    finally:
        archive.close()  # type: ignore[attr-defined]
    with system.open_topics() as (_, updates):
        _read_updates(updates, census)
    for name in system.list_names("trainer"):
        trainer = load_key_file(system.root / "nodes" / name / "key").public_key
        census.acknowledged[trainer] = read_acknowledged(system.get_process(name).log)
    first: dict[int, float] = {}
    for name in system.list_names("validator", "ledger"):
        for block in read_seen_blocks(system.get_process(name).log):
            first[block.height] = min(block.time_s, first.get(block.height, block.time_s))
    census.certified = [first[height] for height in range(1, census.height + 1)]
    return census


def _read_updates(updates: Topic, census: Census) -> None:
    for entry in read_whole(updates):
        record = decode_record(entry.value)
        if isinstance(record, UpdateHeader):
            assert verify_header(record)
            census.headers[compute_update_id(record)] = record
        elif isinstance(record, UpdateChunk):
            census.chunks[record.update].add(record.index)
