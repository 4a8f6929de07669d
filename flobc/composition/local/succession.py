"""A successor's place on this machine: its members' keys and seals where ``flobc up`` looks for them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterable
from pathlib import Path

from flobc.adapters.filesystem import write_atomically
from flobc.adapters.filesystem.files import read_regular
from flobc.adapters.filesystem.keys import load_key_file
from flobc.composition.run_directory import is_run_directory, load_settings, save_settings
from flobc.errors import UsageError
from flobc.protocol.params import Genesis, get_chain_id

SUCCESSOR = "successor"
"""The file beside a validator's seals that names the successor which they were handed to."""


def prepare_nodes(parent: Path, out: Path, genesis: Genesis, keys: Iterable[Path]) -> tuple[bytes, ...]:
    """Put every member's key, and a validator's seals, into ``out``, so that ``flobc up --dir OUT`` starts them.

    Keys are those of the parent's nodes and the files given besides. Members keep the parent's order, so a
    trainer keeps its shard as long as nobody before it goes.

    Returns the members whose key is not here; then nothing is written, for others start those services.

    **Raises** DataError when a key file is damaged, UsageError when a validator here serves another successor.
    """
    nodes = sorted((parent / "nodes").glob("*-*/key"), key=lambda path: (len(path.parent.name), path.parent.name))
    found = {load_key_file(path).public_key: path for path in (*nodes, *keys)}
    missing = tuple(key for key in (*genesis.validators, *genesis.trainers) if key not in found)
    if missing or not is_run_directory(parent):
        return missing
    for path in found.values():
        _require_unclaimed(path.parent / "seals", get_chain_id(genesis))
    for role, members in (("validator", genesis.validators), ("trainer", genesis.trainers)):
        here = [path for key, path in found.items() if key in members]
        for index, path in enumerate(here):
            _move_in(path, out / "nodes" / f"{role}-{index}", get_chain_id(genesis))
    settings = load_settings(parent, genesis.params)
    trainers, validators = len(genesis.trainers), len(genesis.validators)
    save_settings(out, dataclasses.replace(settings, trainers=trainers, validators=validators))
    return ()


def _require_unclaimed(seals: Path, successor: bytes) -> None:
    noted = read_regular(seals / SUCCESSOR, len(successor))
    if noted is not None and noted != successor:
        raise UsageError(
            f"The validator in {seals.parent} serves the successor {noted.hex()[:12]} already, not "
            f"{successor.hex()[:12]}; go on with that one."
        )


def _move_in(key: Path, node: Path, successor: bytes) -> None:
    """Copy a key with its mode, and the seals beside it: its validator serves one successor only (CHAIN-18).

    Which one is noted beside the seals before they are copied: another set of approvals makes another genesis, and
    each copy of the seals would know nothing of the other.
    """
    seals = key.parent / "seals"
    if seals.is_dir():
        write_atomically(seals / SUCCESSOR, [successor])
    node.mkdir(parents=True, exist_ok=True, mode=0o700)
    shutil.copy2(key, node / "key")
    if seals.is_dir():
        shutil.copytree(seals, node / "seals", dirs_exist_ok=True, ignore=shutil.ignore_patterns(SUCCESSOR))
