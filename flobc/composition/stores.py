"""Where an embedded run keeps everything: in memory, or as files of a run's directory."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flobc.adapters.filesystem import FileBlocks, FileLog, FileModels, FilePayloads, FileSeals, remove_unfinished
from flobc.adapters.memory import MemoryBlocks, MemoryLog, MemoryModels, MemoryPayloads, MemorySeals
from flobc.ports.blocks import BlockStore
from flobc.ports.models import ModelStore
from flobc.ports.payloads import PayloadStore
from flobc.ports.records import RecordLog
from flobc.ports.seals import SealStore
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.params import Genesis


@dataclass(frozen=True)
class Stores:
    """One chain's log and stores; with ``keeps_payloads`` the settled ones stay, for who recomputes models."""

    log: RecordLog
    payloads: PayloadStore
    models: ModelStore
    blocks: BlockStore
    seals: SealStore
    keeps_payloads: bool = True


def build_memory_stores(genesis: Genesis, *, keeps_payloads: bool = True) -> Stores:
    """Return empty stores that end with the process."""
    head = build_initial_state(genesis).head_digest
    return Stores(MemoryLog(), MemoryPayloads(), MemoryModels(), MemoryBlocks(head), MemorySeals(), keeps_payloads)


@contextmanager
def open_file_stores(root: Path, genesis: Genesis) -> Iterator[Stores]:
    """Open the stores of the run in ``root``, which must be locked; at the end the log is on disk.

    **Raises** DataError when the log or a block is damaged.
    """
    folders = [root / name for name in (".", "payloads", "models", "blocks", "seals")]
    for folder in folders:
        remove_unfinished(folder)
    head = build_initial_state(genesis).head_digest
    log = FileLog(root / "log")
    try:
        yield Stores(
            log,
            FilePayloads(root / "payloads"),
            FileModels(root / "models"),
            FileBlocks(root / "blocks", head),
            FileSeals(root / "seals", log.sync),
        )
    finally:
        log.sync()
        log.close()
        for folder in folders:
            remove_unfinished(folder)  # what was dropped and would have been written over
