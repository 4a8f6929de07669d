"""Where an index lies: in a directory that is kept between starts, or in a temporary one that goes with it."""

from __future__ import annotations

import contextlib
import fcntl
import logging
import os
import shutil
import sqlite3
import tempfile
import time
from pathlib import Path
from typing import IO

from flobc import __version__
from flobc.errors import UsageError

NAME = "index.sqlite"
LOCK = "lock"
PREFIX = "flobc-explorer-"
YOUNG_S = 60
"""A temporary directory's lock may not be held yet for so long after it was made."""
FORMAT = 1
"""Goes up with every change of the tables, or of what is entered into them."""
_MARK = "CREATE TABLE mark (format INTEGER, release TEXT, chain BLOB)"

logger = logging.getLogger(__name__)


class IndexFile:
    """The file of one index. What cannot be gone on with is thrown away: everything in it can be had again.

    **Raises** UsageError when the directory cannot be used, or another explorer uses it.
    """

    def __init__(self, directory: Path | None, chain: bytes) -> None:
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        self._lock: IO[str] | None = None
        if directory is None:
            remove_abandoned()
            self._temporary = tempfile.TemporaryDirectory(prefix=PREFIX)
            directory = Path(self._temporary.name)
        self._lock = _lock(directory)
        self.path = directory / NAME
        self.mark = (FORMAT, __version__, chain)

    def open_or_clear(self) -> bool:
        """Return whether there is an index to go on with; any other is removed, and the log says why."""
        if not self.path.exists():
            return False
        trouble = find_trouble(self.path, self.mark)
        if trouble is None:
            return True
        logger.warning("the index in %s is built again: %s", self.path, trouble)
        for suffix in ("", "-wal", "-shm", "-journal"):
            self.path.with_name(NAME + suffix).unlink(missing_ok=True)
        return False

    def write_mark(self, connection: sqlite3.Connection) -> None:
        """Say in a new index whose it is; belongs into the transaction that makes the tables."""
        connection.execute(_MARK)
        connection.execute("INSERT INTO mark VALUES (?, ?, ?)", self.mark)

    def close(self) -> None:
        """Let go of the directory, or remove the temporary one."""
        if self._temporary is not None:
            self._temporary.cleanup()
        if self._lock is not None:
            self._lock.close()


def remove_abandoned() -> None:
    """Remove temporary directories whose explorer was killed: it could not, and nobody goes on with them."""
    for directory in Path(tempfile.gettempdir()).glob(f"{PREFIX}*"):
        with contextlib.suppress(OSError):  # it is being removed, or not ours to look into
            place, lock = directory.lstat(), directory / LOCK
            if place.st_uid == os.getuid() and time.time() - lock.lstat().st_mtime > YOUNG_S and not _is_locked(lock):
                shutil.rmtree(directory, ignore_errors=True)


def _is_locked(path: Path) -> bool:
    """Return whether an explorer holds the lock. **Raises** OSError when it cannot be asked."""
    with path.open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _lock(directory: Path) -> IO[str]:
    try:
        directory.mkdir(parents=True, exist_ok=True)
        file = (directory / LOCK).open("a")
    except OSError as error:
        raise UsageError(
            f"The explorer's index cannot be kept in {directory} ({error.strerror}); correct FLOBC_DATA."
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise UsageError(
            f"Another explorer keeps its index in {directory}; give this one a FLOBC_DATA of its own."
        ) from error
    return file


def find_trouble(path: Path, mark: tuple[int, str, bytes]) -> str | None:
    """Return why an index cannot be gone on with, or None.

    A block that did not hold is asked for again: a ledger may have been mended meanwhile.
    """
    try:
        with contextlib.closing(sqlite3.connect(path)) as connection:
            found = connection.execute("SELECT format, release, chain FROM mark").fetchone()
            if found != mark:
                return "it is of another chain or release"
            if connection.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
                return "it is damaged"
            number, top, defects = connection.execute(
                "SELECT COUNT(*), MAX(height), COUNT(defect) FROM blocks"
            ).fetchone()
    except sqlite3.Error as error:
        return f"it cannot be read ({error})"
    if number != (top or 0):
        return "blocks are missing in it"
    return "a block in it does not hold" if defects else None
