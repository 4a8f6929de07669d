"""Large files that come and go: the next one is written over one that was dropped, into pages that are there already.

Writing 2.4 MB into a new file costs several times what copying them costs, for the system first has to find and clear
the memory that holds them; a validator does that for every update of a round.
"""

from __future__ import annotations

import contextlib
import fcntl
import itertools
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO

from flobc.adapters.filesystem.files import begin_new, open_regular, read_open, replace_atomically

SLOTS = 16
"""How many dropped files a directory keeps to write over; one more takes the oldest one's place."""


class RecycledFiles:
    """The files of one directory, which several processes may write, read and drop.

    A dropped file gets a slot's name and whoever writes next takes it from there. A reader locks what it has opened, so
    that it never sees another file's bytes: what somebody still reads is not written over.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._turn = itertools.count(os.getpid())

    def write(self, path: Path, pieces: Iterable[bytes | memoryview], *, flush: bool = True) -> None:
        """Put ``pieces`` at ``path``, whole or not at all (see ``replace_atomically``). **Raises** OSError."""
        with replace_atomically(path, flush=flush, begin=self._begin) as file:
            for piece in pieces:
                file.write(piece)
            file.truncate()

    @contextlib.contextmanager
    def reading(self, path: Path) -> Iterator[IO[bytes] | None]:
        """Open a file whose bytes stay what they are for the length of the block; None when there is none.

        **Raises** DataError when it is no regular file.
        """
        while True:
            try:
                file = open_regular(path)
            except FileNotFoundError:
                yield None
                return
            with file:
                fcntl.flock(file, fcntl.LOCK_SH)
                if _is_at(file, path):
                    yield file
                    return

    def read(self, path: Path, limit_bytes: int) -> bytes | None:
        """Return a file's bytes, or None. **Raises** DataError when it is no regular file, or too long."""
        with self.reading(path) as file:
            return None if file is None else read_open(file, path, limit_bytes)

    def drop(self, path: Path) -> None:
        """Take a file away, if it is there."""
        with contextlib.suppress(FileNotFoundError):
            path.replace(self._slot(next(self._turn)))

    def _slot(self, number: int) -> Path:
        return self._directory / f".spare-{number % SLOTS}.part"

    def _begin(self, beside: Path) -> IO[bytes]:
        """Open a file at ``beside`` to write: a dropped one if there is one that nobody reads."""
        for number in range(SLOTS):
            try:
                self._slot(number).rename(beside)
            except FileNotFoundError:
                continue
            with contextlib.ExitStack() as stack:
                file = stack.enter_context(os.fdopen(os.open(beside, os.O_WRONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "wb"))
                with contextlib.suppress(BlockingIOError):
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    stack.pop_all()
                    return file
            beside.unlink()
        return begin_new(beside)


def _is_at(file: IO[bytes], path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.lstat())
    except FileNotFoundError:
        return False
