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
        self._names: dict[Path, dict[str, int]] = {}
        fsync = os.fsync

        def remember(descriptor: int) -> None:
            fsync(descriptor)
            found = os.fstat(descriptor)
            if stat.S_ISDIR(found.st_mode):
                directory = Path(os.readlink(f"/proc/self/fd/{descriptor}"))
                self._names[directory] = {entry.name: entry.inode() for entry in os.scandir(directory)}
            else:
                self._sizes[found.st_ino] = found.st_size

        monkeypatch.setattr(os, "fsync", remember)

    def cut_power(self, root: Path, left: Path) -> None:
        """Copy to ``left`` what a power cut leaves of ``root``; directories themselves are taken to be safe."""
        for path in sorted(root.rglob("*")):
            copy = left / path.relative_to(root)
            if path.is_dir():
                copy.mkdir(parents=True)
            elif self._names.get(path.parent, {}).get(path.name) == path.stat().st_ino:
                copy.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, copy)
                os.truncate(copy, self._sizes.get(path.stat().st_ino, 0))
