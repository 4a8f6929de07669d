"""A run in one directory: log, payloads, models, blocks and seals as plain files."""

from flobc.adapters.filesystem.files import (
    open_regular,
    read_regular,
    remove_unfinished,
    replace_atomically,
    write_atomically,
)
from flobc.adapters.filesystem.last_header import FileLastHeader
from flobc.adapters.filesystem.log import FileLog, LogReader, frame_record
from flobc.adapters.filesystem.stores import FileBlocks, FileModels, FilePayloads, FileSeals, FileStates

__all__ = [
    "FileBlocks",
    "FileLastHeader",
    "FileLog",
    "FileModels",
    "FilePayloads",
    "FileSeals",
    "FileStates",
    "LogReader",
    "frame_record",
    "open_regular",
    "read_regular",
    "remove_unfinished",
    "replace_atomically",
    "write_atomically",
]
