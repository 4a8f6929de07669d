"""A genesis in the making: what is learnt and by which rules is fixed, members add their public keys one by one."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from flobc.adapters.filesystem import FileModels
from flobc.composition.genesis import build_genesis
from flobc.composition.run_directory import is_run_directory, save_beginning, validate_room
from flobc.composition.settings import RunSettings, validate_settings
from flobc.errors import RemoteProtocolError, UsageError
from flobc.learning.tasks import get_task
from flobc.protocol.identity import short_id, validate_public_key
from flobc.protocol.params import Genesis, validate_chain_params, validate_genesis

Role = Literal["validator", "trainer", "operator"]


@dataclass(frozen=True)
class Draft:
    """What the parties agree on. Keys are in ascending order, so that the order of adding changes nothing.

    ``initial_model`` is the first model's digest where the draft was made: who seals it must come to the same.
    """

    settings: RunSettings
    initial_model: bytes
    validators: tuple[bytes, ...] = ()
    trainers: tuple[bytes, ...] = ()

    @property
    def operator(self) -> bytes | None:
        """The key that signs invitations."""
        return self.settings.params.admission.operator


def build_draft(settings: RunSettings) -> Draft:
    """Return a draft without members. **Raises** UsageError for settings or params no chain can live with."""
    validate_settings(settings)
    validate_chain_params(settings.params)
    genesis, _ = build_genesis(settings, get_task(settings.task), (), ())
    return Draft(settings, genesis.initial_model)


def add_member(draft: Draft, role: Role, key: bytes) -> Draft:
    """Return the draft with one more public key. **Raises** UsageError for one that cannot be added."""
    try:
        validate_public_key(key)
    except RemoteProtocolError as error:
        raise UsageError(
            f"{key.hex()} is no usable key: expected {error.expected}, found {error.found}; make one with: "
            "flobc keys new FILE"
        ) from error
    if role == "operator":
        return _set_operator(draft, key)
    for name, keys in (("validator", draft.validators), ("trainer", draft.trainers)):
        if key in keys:
            raise UsageError(f"The key {short_id(key)} is a {name} of the draft already; every role needs its own key.")
    if role == "validator":
        return dataclasses.replace(draft, validators=tuple(sorted((*draft.validators, key))))
    return dataclasses.replace(draft, trainers=tuple(sorted((*draft.trainers, key))))


def _set_operator(draft: Draft, key: bytes) -> Draft:
    if draft.operator is not None:
        raise UsageError(f"The draft has the operator {short_id(draft.operator)} already; a chain has one.")
    admission = dataclasses.replace(draft.settings.params.admission, operator=key)
    params = dataclasses.replace(draft.settings.params, admission=admission)
    return dataclasses.replace(draft, settings=dataclasses.replace(draft.settings, params=params))


def seal_draft(draft: Draft, root: Path) -> Genesis:
    """Write genesis, first model and settings of the drafted chain into ``root``, and no key; return the genesis.

    Whoever seals the same draft gets the same bytes. **Raises** UsageError when members are missing, when the
    directory holds something else, or when this machine makes another first model.
    """
    if is_run_directory(root):
        raise UsageError(f"The directory {root} holds a chain already and none is overwritten; choose another --dir.")
    if root.exists() and not (root / "nodes").exists():
        validate_room(root)
    genesis, initial = build_genesis(draft.settings, get_task(draft.settings.task), draft.trainers, draft.validators)
    if genesis.initial_model != draft.initial_model:
        raise UsageError(
            f"The first model comes out as {genesis.initial_model.hex()[:12]} here and as "
            f"{draft.initial_model.hex()[:12]} where the draft was made; seal it there and pass the directory on."
        )
    validate_genesis(genesis)
    if not genesis.trainers:
        raise UsageError(
            "A chain makes no block before somebody trains, and nobody joins without a block; add one trainer at least."
        )
    settings = dataclasses.replace(draft.settings, trainers=len(genesis.trainers), validators=len(genesis.validators))
    (root / "initial").mkdir(parents=True, exist_ok=True)
    FileModels(root / "initial").put(genesis.initial_model, initial)
    save_beginning(root, settings, genesis)
    return genesis
