"""A power cut: of all that a process wrote, only what it waited for with fsync is there afterwards."""

from __future__ import annotations

import os
import shutil
import stat
from pathlib import Path

import pytest


class Disk:
    """Remembers, by way of ``os.fsync``, how much of each file and which names of each directory are safe."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._sizes: dict[int, int] = {}
        self._names: dict[int, dict[str, int]] = {}
        self._held: list[int] = []
        fsync = os.fsync

        def remember(descriptor: int) -> None:
            fsync(descriptor)
            # Held open: the system would give a removed file's number, and what is known of it, to another.
            self._held.append(os.dup(descriptor))
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                with os.scandir(descriptor) as entries:
                    self._names[found.st_ino] = {entry.name: entry.inode() for entry in entries}
            else:
                self._sizes[found.st_ino] = found.st_size

        monkeypatch.setattr(os, "fsync", remember)

    def close(self) -> None:
        """Let go of the files."""
        for descriptor in self._held:
            os.close(descriptor)

    def cut_power(self, root: Path, left: Path) -> None:
        """Copy to ``left`` what a power cut leaves of ``root``; directories themselves are taken to be safe."""
        for path in sorted(root.rglob("*")):
            copy, inode = left / path.relative_to(root), path.stat().st_ino
            if path.is_dir():
                copy.mkdir(parents=True)
            elif self._names.get(path.parent.stat().st_ino, {}).get(path.name) == inode:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                os.truncate(copy, self._sizes.get(inode, 0))
