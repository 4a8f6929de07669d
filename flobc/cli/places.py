"""Where runs and data sets lie when nobody says: the person's data folder (XDG base directories).

This and ``terminal`` are all that reads the environment.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path

from flobc.errors import DataError, UsageError


def get_data_home() -> Path:
    """Return FLoBC's folder among the person's data."""
    base = os.environ.get("XDG_DATA_HOME", "")
    return (Path(base) if Path(base).is_absolute() else Path.home() / ".local" / "share") / "flobc"


def get_data_directory() -> Path:
    """Return where data sets lie: ``FLOBC_DATA_DIR`` if set, else in the data folder."""
    chosen = os.environ.get("FLOBC_DATA_DIR", "")
    return expand_path(chosen) if chosen else get_data_home() / "data"


def expand_path(given: str) -> Path:
    """Return a path as an absolute one, ``~`` the person's home. **Raises** UsageError for ``~nobody`` and nothing."""
    if not given:  # a variable of a script that is not set, and never the working directory
        raise UsageError("A path must not be empty; write . for the directory you are in.")
    try:
        return Path(given).expanduser().absolute()
    except RuntimeError as error:
        raise UsageError(f"There is no home for the path {given!r}; write the path in full.") from error


def get_runs_directory() -> Path:
    """Return where runs without ``--dir`` lie."""
    return get_data_home() / "runs"


def list_runs(task: str) -> list[tuple[int, Path]]:
    """Return the numbered runs of a task, oldest first; ``TASK-N`` is the name of each."""
    pattern = re.compile(re.escape(make_slug(task)) + r"-(\d+)")
    found = [(pattern.fullmatch(path.name), path) for path in iterate(get_runs_directory())]
    return sorted((int(match[1]), path) for match, path in found if match)


def claim_run(task: str) -> Path:
    """Make the directory of the next run of a task and return it. **Raises** DataError when it cannot be made."""
    number = max((number for number, _ in list_runs(task)), default=0)
    while True:
        number += 1
        path = get_runs_directory() / f"{make_slug(task)}-{number}"
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.mkdir()
        except FileExistsError:
            continue  # another run took this number a moment ago
        except OSError as error:
            raise DataError(f"Cannot make {path}: {error.strerror}; choose a directory with --dir.") from error
        return path


def find_newest_run() -> Path:
    """Return the run that was last worked on. **Raises** DataError when there is none."""
    runs = [path for path in iterate(get_runs_directory()) if (path / "settings.json").is_file()]
    if not runs:
        raise DataError(f"There is no run in {get_runs_directory()} yet; start one with: flobc run")
    return max(runs, key=lambda path: max(part.stat().st_mtime for part in (path, path / "blocks") if part.exists()))


def check_run_place(root: Path) -> None:
    """Check that a run may live in ``root``, before anything is written. **Raises** UsageError or DataError."""
    check_folder(root, "--dir")
    if (root / "nodes").is_dir():
        raise UsageError(
            f"The directory {root} holds a system of processes; go on with it by flobc up --dir {root}, or choose "
            "another --dir."
        )


def check_folder(root: Path, flag: str) -> None:
    """Check that a folder is there or can be made, before anything is written. **Raises** UsageError or DataError."""
    if root.exists() and not root.is_dir():
        raise UsageError(f"{root} is a file, not a directory; choose another {flag}.")
    above = next(path for path in (root, *root.parents) if path.exists())
    if not above.is_dir():
        raise UsageError(f"{above} is a file, so there can be no directory {root}; choose another {flag}.")
    if not os.access(above, os.R_OK | os.W_OK | os.X_OK):
        raise DataError(f"Cannot read and write in {above}; change its permissions or choose another {flag}.")


def move_aside(root: Path) -> Path:
    """Rename a run's directory to the first free ``NAME.old-N`` beside it and return that."""
    number = 1
    while (beside := root.with_name(f"{root.name}.old-{number}")).exists():
        number += 1
    return root.rename(beside)


def make_slug(task: str) -> str:
    """Return a task's text as part of a file name."""
    return re.sub(r"[^A-Za-z0-9]+", "-", task).strip("-")[:60] or "run"


def iterate(directory: Path) -> Iterator[Path]:
    """Yield what is in a directory; nothing when it is not there."""
    if directory.is_dir():
        yield from directory.iterdir()
