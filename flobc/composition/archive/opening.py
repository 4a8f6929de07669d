"""Opens whatever a person points at as a chain: a run's directory or an export."""

from __future__ import annotations

import zipfile
from pathlib import Path

from flobc.composition.archive.directory import DirectoryArchive
from flobc.composition.archive.export_file import ExportArchive
from flobc.composition.local.plan import is_system_directory
from flobc.errors import DataError
from flobc.ports.archive import ChainArchive


def open_archive(path: Path) -> ChainArchive:
    """Open the directory of a run or a system, even while it goes on, or an export file; nothing is locked or changed.

    **Raises** DataError when there is neither, or when not even its genesis can be read.
    """
    try:
        if path.is_dir() and is_system_directory(path):
            from flobc.composition.archive.system import SystemArchive  # noqa: PLC0415 - loads clients of servers

            return SystemArchive(path)
        if path.is_dir():
            return DirectoryArchive(path)
        if not path.exists():
            raise DataError(f"There is no {path}; give a run's directory or a file made by: flobc export chain")
        if not zipfile.is_zipfile(path):
            raise DataError(
                f"{path} is no chain's export; give a run's directory or a file made by: flobc export chain"
            )
        return ExportArchive(path)
    except OSError as error:
        raise DataError(f"{path} cannot be read ({error.strerror or error}); check its permissions.") from error
