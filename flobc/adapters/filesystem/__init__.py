"""A run in one directory: log, payloads, models, blocks and seals as plain files."""

from flobc.adapters.filesystem.files import write_atomically
from flobc.adapters.filesystem.log import FileLog
from flobc.adapters.filesystem.stores import FileBlocks, FileModels, FilePayloads, FileSeals

__all__ = ["FileBlocks", "FileLog", "FileModels", "FilePayloads", "FileSeals", "write_atomically"]
