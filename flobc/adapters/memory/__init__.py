"""Every port in memory: for embedded runs without a directory, and for tests."""

from flobc.adapters.memory.peers import MemoryBlobPeer, MemoryLedgerPeer
from flobc.adapters.memory.stores import (
    MemoryBlocks,
    MemoryLog,
    MemoryModels,
    MemoryPayloads,
    MemorySeals,
    MemoryStates,
)
from flobc.adapters.memory.topics import MemoryBroker, MemoryTopic

__all__ = [
    "MemoryBlobPeer",
    "MemoryBlocks",
    "MemoryBroker",
    "MemoryLedgerPeer",
    "MemoryLog",
    "MemoryModels",
    "MemoryPayloads",
    "MemorySeals",
    "MemoryStates",
    "MemoryTopic",
]
