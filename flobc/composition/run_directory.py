"""A run's directory: where everything lies, who holds it, and what it takes to open it again.

::

    DIR/settings.json   what was asked for        DIR/log       every consensus record, in order
    DIR/genesis         block 0                   DIR/blocks/   certified blocks
    DIR/payloads/       every update's chunks     DIR/models/   the newest models
    DIR/seals/          each validator's last seal             DIR/rounds.jsonl  test accuracy per round
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import json
import math
import os
from pathlib import Path
from typing import IO, Any

from flobc.adapters.filesystem import open_regular, read_regular, write_atomically
from flobc.adapters.filesystem.stores import list_block_heights
from flobc.composition.reports import TestReport
from flobc.composition.settings import RunSettings
from flobc.errors import DataError, RemoteProtocolError, UsageError
from flobc.protocol.encoding import decode, encode
from flobc.protocol.params import ChainParams, Genesis

MARKER = "settings.json"
TESTS = "rounds.jsonl"
SCENARIO = "scenario.yaml"
"""The world of a simulation."""
_MAX_TEXT_BYTES = 1 << 28
"""Longest file of settings, tests or a genesis that is read."""
_MAX_LOCK_BYTES = 32
HALF_MADE = (".genesis.", f".{MARKER}.", "genesis", "lock")
"""What names begin with that a run leaves when it is killed while its directory is made."""


def is_run_directory(root: Path) -> bool:
    """Return whether a run lives there."""
    return (root / MARKER).is_file() and (root / "genesis").is_file()


def validate_no_simulation(root: Path) -> None:
    """**Raises** UsageError when the run in a directory is a simulation, whose world nothing else can go on with."""
    if (root / SCENARIO).exists():
        raise UsageError(
            f"The run in {root} is a simulation, which nothing goes on with: its network, faults and lying validators "
            "are no part of the chain. Simulate it anew with flobc simulate, or choose another --dir."
        )


def lock_directory(root: Path) -> IO[str]:
    """Take the directory for this process until the returned file is closed.

    **Raises** UsageError when another process runs in it.
    """
    file = (root / "lock").open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.seek(0)
        holder = file.read().strip() or "unknown"
        file.close()
        raise _build_in_use_error(root, holder) from error
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return file


def find_holder(root: Path) -> int | None:
    """Return the process that runs in the directory, or None; takes no lock that could be in a starting run's way."""
    try:
        with open_regular(root / "lock") as file:
            process = int(file.read(_MAX_LOCK_BYTES) or 0)
            os.kill(process, 0)
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return process
    except (OSError, ValueError, OverflowError):
        return None  # no lock file, or its process is gone
    return None


def validate_unused(root: Path) -> None:
    """Check that no process runs in the directory. **Raises** UsageError."""
    holder = find_holder(root)
    if holder is not None:
        raise _build_in_use_error(root, str(holder))


def _build_in_use_error(root: Path, holder: str) -> UsageError:
    return UsageError(f"Another process ({holder}) is using {root}; wait for it, stop it, or choose another directory.")


def validate_room(root: Path) -> None:
    """Check that a new run may be made there: no such directory, or none but the start of one in it.

    **Raises** UsageError when the directory holds something else.
    """
    if root.exists() and not all(item.name.startswith(HALF_MADE) for item in root.iterdir()):
        raise UsageError(f"The directory {root} is not empty and holds no run; choose another --dir.")


def create_run_directory(root: Path, settings: RunSettings, genesis: Genesis) -> None:
    """Write settings and genesis of a new run. **Raises** UsageError when the directory holds something else."""
    validate_room(root)
    save_beginning(root, settings, genesis)


def save_beginning(root: Path, settings: RunSettings, genesis: Genesis) -> None:
    """Write genesis and settings; the settings go last, so a half-made directory is not taken for a run."""
    write_atomically(root / "genesis", [encode(genesis)])
    save_settings(root, settings)


def save_settings(root: Path, settings: RunSettings) -> None:
    """Write what is asked of the run in ``root``: with it, the same command goes on after a restart."""
    write_atomically(root / MARKER, [json.dumps(settings_to_json(settings), indent=2, sort_keys=True).encode()])


def load_height(root: Path) -> int:
    """Return the newest certified block's height, reading no block; 0 when there is none."""
    return max(list_block_heights(root / "blocks"), default=0)


def append_test(root: Path, report: TestReport) -> None:
    """Add a model's test to the run's list."""
    line = {"height": report.height, "loss": report.loss, "accuracy": report.accuracy}
    with (root / TESTS).open("a") as file:
        file.write(json.dumps(line) + "\n")


def load_tests(root: Path) -> dict[int, TestReport]:
    """Return the run's tests by height; a line that a killed process left half written is skipped."""
    tests = {}
    text = (read_regular(root / TESTS, _MAX_TEXT_BYTES) or b"").decode(errors="replace")
    for line in text.splitlines():
        with contextlib.suppress(ValueError, KeyError, TypeError, RecursionError, OverflowError):
            data = json.loads(line)
            height, loss, accuracy = int(data["height"]), float(data["loss"]), float(data["accuracy"])
            if math.isfinite(accuracy):
                tests[height] = TestReport(height, loss, accuracy)
    return tests


def load_genesis(root: Path) -> Genesis:
    """Return the genesis of a run. **Raises** DataError when no run is there or it is damaged."""
    if not is_run_directory(root):
        raise DataError(f"There is no run in {root}; start one with: flobc run --dir {root}")
    try:
        return decode(Genesis, read_regular(root / "genesis", _MAX_TEXT_BYTES) or b"")
    except (RemoteProtocolError, OSError) as error:
        raise DataError(f"The genesis in {root} is damaged ({error}); restore it from a copy or an export.") from error


def settings_to_json(settings: RunSettings) -> dict[str, Any]:
    """Return the settings as plain JSON data; the params live in the genesis."""
    data = {item.name: getattr(settings, item.name) for item in dataclasses.fields(settings)}
    del data["params"]
    data["attacks"] = list(settings.attacks)
    data["data_directory"] = None if settings.data_directory is None else str(settings.data_directory)
    return data


def load_settings(root: Path, params: ChainParams) -> RunSettings:
    """Return the settings that a run was started with. **Raises** DataError when the file is damaged."""
    path = root / MARKER
    try:
        data = json.loads(read_regular(path, _MAX_TEXT_BYTES) or b"")
        _require_kinds(data)
        directory = data.pop("data_directory")
        data["attacks"] = tuple(data["attacks"])
        return RunSettings(**data, params=params, data_directory=None if directory is None else Path(directory))
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise DataError(f"The settings file {path} is damaged ({error}); restore it from a copy.") from error


def _require_kinds(data: Any) -> None:
    """Check that every setting is of its default's type. **Raises** TypeError: the file may be a stranger's."""
    if not isinstance(data, dict):
        raise TypeError(f"expected an object, found {type(data).__name__}")
    defaults = settings_to_json(RunSettings())
    for name, value in data.items():
        kinds = (str, type(None)) if name == "data_directory" else (type(defaults.get(name)),)
        if type(value) not in kinds:
            raise TypeError(f"{name}: expected {kinds[0].__name__}, found {type(value).__name__}")
    if not all(isinstance(item, str) for item in data["attacks"]):
        raise TypeError("attacks: expected texts")
