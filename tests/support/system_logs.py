"""What a system's services themselves say: the blocks that each saw certified, the updates that Kafka took."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

_BLOCK = re.compile(r"block (\d+)(?:: \d+ accepted| is certified), head ([0-9a-f]{16})")
_PUBLISHED = re.compile(r"published an update from base (\d+)")


@dataclass(frozen=True)
class SeenBlock:
    """A block as one node saw it: the first digits of its own head's digest, and when, in seconds."""

    height: int
    head: str
    time_s: float


def read_seen_blocks(log: Path) -> list[SeenBlock]:
    """Every block that a validator or ledger wrote of, in that order; after a restart it may write of one again."""
    return [SeenBlock(int(found[1]), found[2], time_s) for time_s, found in _find(log, _BLOCK)]


def read_heads_by_height(log: Path) -> dict[int, str]:
    """The head that a node had at each height. Fails when it ever had two."""
    heads: dict[int, str] = {}
    for block in read_seen_blocks(log):
        assert heads.setdefault(block.height, block.head) == block.head, f"{log}: two heads at height {block.height}"
    return heads


def read_acknowledged(log: Path) -> dict[int, float]:
    """The bases from which a trainer's update was acknowledged by Kafka, and when first, in seconds."""
    times: dict[int, float] = {}
    for time_s, found in _find(log, _PUBLISHED):
        times.setdefault(int(found[1]), time_s)
    return times


def _find(log: Path, wanted: re.Pattern[str]) -> Iterator[tuple[float, re.Match[str]]]:
    with log.open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                said = json.loads(line)
            except json.JSONDecodeError:  # what a library or a dying process wrote
                continue
            found = wanted.fullmatch(said["message"])
            if found:
                yield datetime.fromisoformat(said["time"]).timestamp(), found
