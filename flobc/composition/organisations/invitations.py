"""Invitations as files, and requests to join made with them (CHAIN-9).

The file holds the operator's signed invitation and the secret of its key: whoever has it may join.
"""

from __future__ import annotations

import dataclasses
import json
import secrets
from dataclasses import dataclass
from pathlib import Path

from flobc.adapters.filesystem import read_regular
from flobc.adapters.filesystem.keys import create_private_file
from flobc.errors import DataError, ProtocolError, UsageError
from flobc.protocol.encoding import decode, encode
from flobc.protocol.identity import SEED_BYTES, Identity, short_id
from flobc.protocol.messages import Invitation, Join, countersigning_bytes, sign, verify_message
from flobc.protocol.params import Genesis, get_chain_id

FORMAT, VERSION = "flobc-invitation", 1
_MAX_BYTES = 1 << 16


@dataclass(frozen=True)
class Invited:
    """An invitation and the key that countersigns joins by it."""

    invitation: Invitation
    secret: Identity


def create_invitation(
    path: Path, genesis: Genesis, operator: Identity, max_joins: int, expires_height: int
) -> Invitation:
    """Sign an invitation and write it to ``path`` with the secret of a key of its own; return it.

    **Raises** UsageError when the chain takes no invitations or not by this operator, or something is there already.
    """
    admission = genesis.params.admission
    if admission.mode != "invite":
        raise UsageError(f"This chain's admission is {admission.mode!r}, so it takes no invitations; nothing to do.")
    if admission.operator != operator.public_key:
        expected = "nobody" if admission.operator is None else short_id(admission.operator)
        raise UsageError(
            f"The operator of this chain is {expected}, not {short_id(operator.public_key)}; give the operator's key."
        )
    seed = secrets.token_bytes(SEED_BYTES)
    invite_key = Identity.from_seed(seed).public_key
    unsigned = Invitation(get_chain_id(genesis), operator.public_key, invite_key, max_joins, expires_height)
    invitation = sign(unsigned, operator)
    data = {"format": FORMAT, "version": VERSION, "invitation": encode(invitation).hex(), "secret": seed.hex()}
    create_private_file(path, "invitation", json.dumps(data, indent=2) + "\n")
    return invitation


def load_invitation(path: Path, genesis: Genesis) -> Invited:
    """Return the invitation in a file; what is in the file is never part of a message.

    **Raises** DataError when it is missing or damaged, UsageError when it is for another chain.
    """
    try:
        text = read_regular(path, _MAX_BYTES)
    except OSError as error:
        raise DataError(f"Cannot read the invitation {path}: {error.strerror}; check its permissions.") from error
    if text is None:
        raise DataError(f"There is no invitation {path}; the chain's operator makes one with: flobc invite")
    try:
        invited = _read_invited(text)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError, ProtocolError):
        raise DataError(f"The file {path} is no invitation or damaged; ask the operator for it again.") from None
    invitation = invited.invitation
    if invitation.chain != get_chain_id(genesis) or invitation.operator != genesis.params.admission.operator:
        raise UsageError(
            f"The invitation {path} is for chain {invitation.chain.hex()[:12]}, not for "
            f"{get_chain_id(genesis).hex()[:12]}; give the one for this chain."
        )
    return invited


def _read_invited(text: bytes) -> Invited:
    data = json.loads(text)
    if (data["format"], data["version"]) != (FORMAT, VERSION):
        raise ValueError
    invitation = decode(Invitation, bytes.fromhex(data["invitation"]))
    secret = Identity.from_seed(bytes.fromhex(data["secret"]))
    if secret.public_key != invitation.invite_key or not verify_message(invitation):
        raise ValueError
    return Invited(invitation, secret)


def build_join(genesis: Genesis, trainer: Identity, invited: Invited | None) -> Join:
    """Return a trainer's signed request to join, countersigned by the invitation's key if there is one."""
    chain = get_chain_id(genesis)
    join = Join(chain, trainer.public_key, None if invited is None else invited.invitation)
    if invited is not None:
        message = countersigning_bytes(chain, trainer.public_key, invited.invitation.invite_key)
        join = dataclasses.replace(join, countersignature=invited.secret.sign(message))
    return sign(join, trainer)


def find_join(genesis: Genesis, trainer: Identity, invitation: Path | None) -> Join | None:
    """Return what a trainer asks with to be let in; None for one of the genesis, who is in already.

    **Raises** UsageError when this chain lets nobody in, or not without an invitation.
    """
    key, mode = trainer.public_key, genesis.params.admission.mode
    if key in genesis.trainers:
        return None
    if key in genesis.validators:
        raise UsageError(f"The key {short_id(key)} is a validator of this chain; a trainer needs a key of its own.")
    if mode == "allowlist":
        raise UsageError(
            f"The key {short_id(key)} is no trainer of this chain, which admits those of its genesis alone; give the "
            "key that is in the genesis (flobc genesis show GENESIS)."
        )
    if mode == "open":
        return build_join(genesis, trainer, None)
    if invitation is None:
        raise UsageError(
            f"The key {short_id(key)} is no trainer of the genesis and this chain admits by invitation; ask the "
            "operator for one (flobc invite) and give its file."
        )
    return build_join(genesis, trainer, load_invitation(invitation, genesis))
