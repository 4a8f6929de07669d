"""This machine: versions, room on its disks, who may read its keys, and what runs."""

from __future__ import annotations

import platform
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from flobc import __version__
from flobc.adapters.filesystem.keys import is_private, load_key_file
from flobc.composition.doctor.findings import Finding, build_failure
from flobc.composition.local.plan import list_processes
from flobc.errors import UsageError
from flobc.protocol.params import PROTOCOL_VERSION, Genesis

OLDEST_PYTHON = (3, 11)
LITTLE_BYTES, TOO_LITTLE_BYTES = 2 << 30, 256 << 20
"""Below the first there is room for days rather than weeks of a small chain, below the second for nothing."""
_GIB = 1 << 30


def check_versions(genesis: Genesis | None) -> Iterator[Finding]:
    """Yield what is installed, and whether it speaks the chain's protocol."""
    found = platform.python_version()
    if sys.version_info >= OLDEST_PYTHON:
        yield Finding("ok", "python", found)
    else:
        yield Finding("problem", "python", f"{found} is too old; install Python 3.11 or newer.")
    yield Finding("ok", "flobc", f"{__version__}, protocol version {PROTOCOL_VERSION}")
    try:
        yield Finding("ok", "torch", version("torch"))
    except PackageNotFoundError:
        yield Finding("warning", "torch", "not installed: a ledger needs none, trainers and validators do.")
    if find_spec("crc32c") is None:
        yield Finding("warning", "crc32c", "the C extension is not installed, so Kafka is read at a few MB/s.")
    if genesis is not None and genesis.version != PROTOCOL_VERSION:
        yield Finding(
            "problem",
            "protocol",
            f"the chain is of version {genesis.version}, this program speaks {PROTOCOL_VERSION}; use the release that "
            "made the chain.",
        )


def check_disk(root: Path) -> Iterator[Finding]:
    """Yield how much room there is where the data lies."""
    free_bytes = shutil.disk_usage(root).free
    room = f"{free_bytes / _GIB:.1f} GiB free for {root}"
    if free_bytes < TOO_LITTLE_BYTES:
        yield Finding("problem", "disk", f"{room}: services will stop; free some.", f"du -sh {root}/*")
    elif free_bytes < LITTLE_BYTES:
        yield Finding("warning", "disk", f"{room}: not for long.", f"du -sh {root}/*")
    else:
        yield Finding("ok", "disk", room)


def check_keys(root: Path, genesis: Genesis | None) -> Iterator[Finding]:
    """Yield whether each key below ``root`` is usable, its owner's alone, and a member's."""
    paths = sorted((root / "nodes").glob("*/key"))
    sound = 0
    for path in paths:
        check = f"key of {path.parent.name}"
        try:
            key = load_key_file(path).public_key
        except UsageError as error:
            yield build_failure(check, error)
            continue
        if not is_private(path):
            yield Finding("problem", check, f"others may read the secret key {path}.", f"chmod 600 {path}")
        elif genesis is not None and path.parent.name.startswith("validator") and key not in genesis.validators:
            yield Finding("problem", check, f"{path} is none of this chain's validators; put the right key there.")
        else:
            sound += 1
    if sound:
        yield Finding("ok", "keys", f"{sound} of {len(paths)} usable and private")


def check_processes(root: Path) -> Iterator[Finding]:
    """Yield which processes of a system on this machine run."""
    processes = list_processes(root)
    for name, pid in processes.items():
        if pid is None:
            yield Finding("problem", name, "does not run.", f"flobc up --dir {root}")
    running = sum(pid is not None for pid in processes.values())
    if running:
        yield Finding("ok", "processes", f"{running} of {len(processes)} run")
