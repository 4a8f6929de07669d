"""A disk that is really full, under one directory of a running process."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

_SIZE = "64k"
_FILLER = "filler"


class SmallDisk:
    """Lies over ``folder`` with all that is in it, until ``close``; nobody may write there while either happens.

    Who may mount nothing gets a folder where nothing may be made: that is another error of the same write.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._is_mounted = os.geteuid() == 0
        if not self._is_mounted:
            return
        files = {path.name: path.read_bytes() for path in folder.iterdir()}
        command = ["mount", "-t", "tmpfs", "-o", f"size={_SIZE}", "none", str(folder)]
        if shutil.which("mount") is None or subprocess.run(command, capture_output=True, check=False).returncode:
            pytest.skip("nothing can be mounted here, and to root no folder is closed")
        for name, content in files.items():
            (folder / name).write_bytes(content)

    def fill(self) -> None:
        """Take all the room that is left."""
        if not self._is_mounted:
            self._folder.chmod(0o500)
            return
        try:
            with (self._folder / _FILLER).open("ab", buffering=0) as filler:
                while filler.write(bytes(4_096)):
                    continue
        except OSError:
            return

    def make_room(self) -> None:
        """Give back what ``fill`` took."""
        if self._is_mounted:
            (self._folder / _FILLER).unlink(missing_ok=True)
        else:
            self._folder.chmod(0o700)

    def close(self) -> None:
        """Put what lies on it where it would lie without it."""
        self.make_room()
        if not self._is_mounted:
            return
        files = {path.name: path.read_bytes() for path in self._folder.iterdir()}
        subprocess.run(["umount", str(self._folder)], check=True)
        for path in self._folder.iterdir():
            path.unlink()
        for name, content in files.items():
            (self._folder / name).write_bytes(content)
