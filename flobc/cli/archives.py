"""Opening a run or an export for the commands that look at chains."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path
from typing import TYPE_CHECKING

from flobc.cli.places import expand_path, find_newest_run
from flobc.errors import UsageError

if TYPE_CHECKING:
    from flobc.composition.archive import ChainArchive


def choose_path(arguments: Namespace) -> Path:
    """Return the run or export that a command is about: PATH, ``--dir`` or the newest run. **Raises** UsageError."""
    given = [item for item in (arguments.path, arguments.dir) if item is not None]
    if len(given) > 1:
        raise UsageError(f"PATH and --dir are the same; give one of {given[0]} and {given[1]}.")
    if not given:
        return find_newest_run()
    if not given[0]:
        raise UsageError("The path of a run must not be empty.")
    return expand_path(given[0])


def open_chain(arguments: Namespace) -> ChainArchive:
    """Open the chain that a command is about. **Raises** UsageError, DataError."""
    from flobc.composition.archive import open_archive  # noqa: PLC0415 - loads the whole library

    return open_archive(choose_path(arguments))


def require_height(value: int, flag: str, height: int) -> int:
    """Return a block's height if the chain has it. **Raises** UsageError."""
    if not 1 <= value <= height:
        found = f"the blocks 1 to {height}" if height else "no blocks yet"
        raise UsageError(f"{flag} {value} is not in this chain, which has {found}.")
    return value
