"""Whole files or none: write beside, flush to disk, rename."""

from __future__ import annotations

import contextlib
import os
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO


@contextlib.contextmanager
def replace_atomically(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` that takes its place when the block ends well.

    A reader, a crash or a power cut sees the old file or the whole new one.

    **Raises** OSError; nothing half-written stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two threads may write the same thing at once: each beside the other, and the last one's file stays.
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        beside.unlink(missing_ok=True)
        with beside.open("xb") as file:  # never through a link that somebody left under this name
            yield file
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
        sync_directory(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview]) -> None:
    """Put ``pieces`` at ``path``, whole or not at all. **Raises** OSError."""
    with replace_atomically(path) as file:
        for piece in pieces:
            file.write(piece)


def remove_unfinished(directory: Path) -> None:
    """Remove what a killed process left beside the files it was writing; nobody may be writing there."""
    for path in directory.glob(".*.part"):
        path.unlink(missing_ok=True)


def sync_directory(path: Path) -> None:
    """Wait until the directory's entries are on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
