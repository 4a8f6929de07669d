"""Everything in this process's memory: for runs that need not survive it, and for tests."""

from flobc.adapters.memory.stores import MemoryBlocks, MemoryLog, MemoryModels, MemoryPayloads, MemorySeals

__all__ = ["MemoryBlocks", "MemoryLog", "MemoryModels", "MemoryPayloads", "MemorySeals"]
