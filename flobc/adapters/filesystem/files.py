"""Whole files or none: write beside, flush to disk, rename."""

from __future__ import annotations

import contextlib
import errno
import os
import stat
import threading
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import IO

from flobc.errors import DataError


def open_regular(path: Path) -> IO[bytes]:
    """Open a file to read, and nothing but a file: a stranger's run may hold links out of it and pipes.

    **Raises** DataError when it is something else, FileNotFoundError when there is nothing.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DataError(f"{path} is a link, not a file; put the file itself in its place.") from error
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise DataError(f"{path} is no regular file; restore it from a copy.")
    return os.fdopen(descriptor, "rb")


def read_regular(path: Path, limit_bytes: int) -> bytes | None:
    """Return a file's bytes, or None when there is none.

    **Raises** DataError when it is no regular file, or longer than ``limit_bytes``.
    """
    try:
        with open_regular(path) as file:
            return read_open(file, path, limit_bytes)
    except FileNotFoundError:
        return None


def read_open(file: IO[bytes], path: Path, limit_bytes: int) -> bytes:
    """Return an open file's bytes. **Raises** DataError when it is longer than ``limit_bytes``."""
    size_bytes = os.fstat(file.fileno()).st_size
    if size_bytes > limit_bytes:
        raise DataError(f"{path} has {size_bytes} bytes, above {limit_bytes}; restore it from a copy.")
    return file.read()


def begin_new(beside: Path) -> IO[bytes]:
    """Open a new file to write: never through a link that somebody left under its name."""
    return beside.open("xb")


@contextlib.contextmanager
def replace_atomically(
    path: Path, *, flush: bool = True, begin: Callable[[Path], IO[bytes]] = begin_new
) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` that takes its place when the block ends well; ``begin`` opens it.

    A reader, a crash or a power cut sees the old file or the whole new one; without ``flush`` a power cut may leave
    one of the right length and wrong content, so whoever reads it must be able to tell.

    **Raises** OSError; nothing half-written stays behind.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    # Two threads may write the same thing at once: each beside the other, and the last one's file stays.
    beside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}.part")
    try:
        beside.unlink(missing_ok=True)
        with begin(beside) as file:
            yield file
            file.flush()
            if flush:
                os.fsync(file.fileno())
            beside.replace(path)
        if flush:
            sync_directory(path.parent)
    finally:
        with contextlib.suppress(FileNotFoundError):
            beside.unlink()


def write_atomically(path: Path, pieces: Iterable[bytes | memoryview], *, flush: bool = True) -> None:
    """Put ``pieces`` at ``path``, whole or not at all (see ``replace_atomically``). **Raises** OSError."""
    with replace_atomically(path, flush=flush) as file:
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
