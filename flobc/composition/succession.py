"""Succession with files: propose a plan, approve it for a validator, assemble the successor's genesis.

::

    propose    parent's genesis              -> PLAN
    approve    PLAN, a validator's directory -> APPROVAL, and the same in DIR/seals for ever
    assemble   PLAN, APPROVALs, the parent   -> OUT/genesis and OUT/initial/, the successor's first model
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem import FileModels, FileSeals, read_regular, write_atomically
from flobc.composition.run_directory import find_holder
from flobc.errors import DataError, RemoteProtocolError, UsageError
from flobc.learning.model_digest import compute_model_digest
from flobc.ports.archive import ChainArchive
from flobc.protocol.consensus.starts import find_starts
from flobc.protocol.consensus.succession import (
    Start,
    build_approve,
    build_first_start,
    build_successor,
    validate_plan,
)
from flobc.protocol.encoding import decode, encode
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Approve, sign
from flobc.protocol.params import ChainParams, Genesis, Plan, get_chain_id
from flobc.protocol.roles.validator import build_role

_MAX_FILE_BYTES = 1 << 28
T = TypeVar("T", Plan, Approve, Genesis)


@dataclass(frozen=True)
class Changes:
    """Who comes and who goes, as public keys."""

    add_validators: tuple[bytes, ...] = ()
    remove_validators: tuple[bytes, ...] = ()
    add_trainers: tuple[bytes, ...] = ()
    remove_trainers: tuple[bytes, ...] = ()


def build_plan(parent: Genesis, changes: Changes, params: ChainParams) -> Plan:
    """Return a plan for the parent's successor.

    **Raises** UsageError when no chain could live with it, or somebody is removed who is not there.
    """
    for key in changes.remove_validators:
        if key not in parent.validators:
            raise UsageError(f"{key.hex()} is no validator of this chain, so it cannot be removed; check the key.")
    for key in changes.add_validators:
        if key in parent.validators:
            raise UsageError(f"{key.hex()} is a validator of this chain already; leave it out.")
    kept = set(parent.validators).difference(changes.remove_validators)
    plan = Plan(
        chain=get_chain_id(parent),
        version=parent.version,
        validators=tuple(sorted(kept.union(changes.add_validators))),
        admitted=tuple(sorted(set(changes.add_trainers))),
        removed=tuple(sorted(set(changes.remove_trainers))),
        params=params,
    )
    validate_plan(parent, plan, build_first_start(parent))
    return plan


def approve_plan(parent: Genesis, plan: Plan, identity: Identity, data: Path, *, never_sealed: bool) -> Approve:
    """Give the old chain up for one validator, for ever, and return its approval; asked again, the same one.

    **Raises** UsageError when its service runs, its last seal is not there, it approved another plan, or no
    chain could live with this one.
    """
    validate_plan(parent, plan, build_first_start(parent))
    if identity.public_key not in parent.validators:
        raise UsageError("This key is none of the chain's validators; give the key of one.")
    _require_stopped(data)
    seals = FileSeals(data / "seals", lambda: None)
    stored = seals.load(identity.public_key)
    if stored is None and not never_sealed:
        raise UsageError(
            f"There is no seal of this validator in {data / 'seals'}; give its own directory, or say --never-sealed if "
            "it never sealed a block. If its directory is lost it must not approve."
        )
    sealed = build_role(parent, identity.public_key, stored, has_approved=False).seal
    approve = sign(build_approve(plan, identity.public_key, sealed), identity)
    seals.save_approve(approve)
    return approve


def _require_stopped(data: Path) -> None:
    """Check that no process works in the directory; what one seals all the same, the store refuses (CHAIN-14)."""
    process = find_holder(data)
    if process is not None:
        raise UsageError(f"The validator in {data} runs (process {process}); stop it and approve again.")


def assemble_successor(archive: ChainArchive, plan: Plan, approvals: Iterable[Approve], out: Path) -> Genesis:
    """Write the successor's genesis and first model into ``out`` and return the genesis.

    **Raises** UsageError when approvals are missing or something is there already, DataError when the model is.
    """
    if (out / "genesis").exists():
        raise UsageError(f"There is a genesis in {out} already and none is overwritten; choose another --out.")
    parent = archive.genesis
    validate_plan(parent, plan, build_first_start(parent))
    starts = read_starts(archive)
    models = {start.header.model: _read_model(archive, start.header.model) for start in starts}
    held = [start for start in starts if models[start.header.model] is not None]
    genesis = build_successor(parent, plan, held or starts, tuple(approvals))
    model = models[genesis.initial_model]
    if model is None:
        raise DataError(
            f"{archive.name} does not hold the model {genesis.initial_model.hex()[:12]} to start from; "
            "use a copy of the chain that does."
        )
    FileModels(out / "initial").put(genesis.initial_model, model)
    write_atomically(out / "genesis", [encode(genesis)])
    return genesis


def _read_model(archive: ChainArchive, digest: bytes) -> NDArray[np.int32] | None:
    """Return a model of the chain if the archive has it whole; without its model no block is of use as a start."""
    model = archive.model(digest)
    sound = model is not None and compute_model_digest(model, archive.genesis.model.chunk_size) == digest
    return model if sound else None


def read_starts(archive: ChainArchive) -> tuple[Start, ...]:
    """Return from which headers a successor could start: by the log, and by the newest block where the log is lost."""
    starts = find_starts(archive.genesis, archive.records())
    block = archive.block(archive.height) if archive.height > starts[0].header.height else None
    state = archive.state(block.header.state) if block is not None else None
    if block is None or state is None:
        return starts
    return (*starts, Start(block.header, state, block.certificate))


def save_message(path: Path, message: Plan | Approve) -> None:
    """Write a plan or an approval. **Raises** UsageError when something else is there already."""
    data = encode(message)
    if path.exists() and read_regular(path, _MAX_FILE_BYTES) != data:
        raise UsageError(f"{path} exists already; choose another --out.")
    write_atomically(path, [data])


def load_plan_file(path: Path) -> Plan:
    """Return the plan in a file. **Raises** DataError when there is none."""
    return _load(path, Plan, "plan", "flobc succession propose")


def load_approve_file(path: Path) -> Approve:
    """Return the approval in a file. **Raises** DataError when there is none."""
    return _load(path, Approve, "approval", "flobc succession approve")


def load_genesis_alone(path: Path) -> Genesis:
    """Return the genesis in a file. **Raises** DataError when there is none."""
    return _load(path, Genesis, "genesis", "flobc genesis new")


def _load(path: Path, kind: type[T], what: str, command: str) -> T:
    data = read_regular(path, _MAX_FILE_BYTES)
    if data is None:
        raise DataError(f"There is no {what} {path}; it is made by: {command}")
    try:
        return decode(kind, data)
    except RemoteProtocolError as error:
        raise DataError(f"{path} is no {what} ({error}); it is made by: {command}") from error
