"""Joins and evidence: who enters, and what a broken promise costs (CHAIN-9, CHAIN-12)."""

from __future__ import annotations

from dataclasses import replace

from flobc.errors import RemoteProtocolError
from flobc.protocol.consensus.state import ChainState, KnownHeader, TrainerEntry, build_identity_key
from flobc.protocol.identity import validate_public_key, verify_signature
from flobc.protocol.messages import (
    Evidence,
    Invitation,
    Join,
    Seal,
    UpdateHeader,
    compute_update_id,
    countersigning_bytes,
    decode_record,
    verify_message,
)
from flobc.protocol.sync.policies import is_base_allowed
from flobc.protocol.trust.policies import admit


def _validate_invitation(state: ChainState, join: Join) -> Invitation:
    admission, invitation = state.params.admission, join.invitation
    if invitation is None:
        raise RemoteProtocolError("CHAIN-9", "an invitation", "none")
    if invitation.operator != admission.operator or invitation.chain != state.chain or not verify_message(invitation):
        raise RemoteProtocolError("CHAIN-9", "an invitation signed by this chain's operator", "another")
    if state.core.height >= invitation.expires_height:
        raise RemoteProtocolError("CHAIN-9", f"a height below {invitation.expires_height}", str(state.core.height))
    used = state.core.invitations.get(invitation.invite_key, 0)
    if used >= invitation.max_joins:
        raise RemoteProtocolError("CHAIN-9", f"at most {invitation.max_joins} joins", f"{used} before this one")
    message = countersigning_bytes(state.chain, join.trainer, invitation.invite_key)
    if not verify_signature(invitation.invite_key, message, join.countersignature):
        raise RemoteProtocolError("CHAIN-9", "the invitation key's countersignature", "another")
    return invitation


def apply_join(state: ChainState, join: Join) -> ChainState:
    """Admit a trainer; nobody else's trust moves under ``flobc_plus`` (CHAIN-9, TRUST).

    **Raises** RemoteProtocolError when the chain's admission or its caps do not let this trainer in.
    """
    core, admission = state.core, state.params.admission
    validate_public_key(join.trainer)
    if join.trainer in core.trainers or join.trainer in state.genesis.validators:
        raise RemoteProtocolError("CHAIN-9", "a key that is no member yet", join.trainer.hex()[:12])
    if len(core.trainers) >= admission.max_trainers or core.joins >= admission.max_joins_per_block:
        raise RemoteProtocolError(
            "CHAIN-9",
            f"room below {admission.max_trainers} trainers and {admission.max_joins_per_block} joins a block",
            f"{len(core.trainers)} trainers and {core.joins} joins",
        )
    if admission.mode == "allowlist":
        raise RemoteProtocolError("CHAIN-9", "a trainer of the genesis", join.trainer.hex()[:12])
    invitations = core.invitations
    if admission.mode == "invite":
        key = _validate_invitation(state, join).invite_key
        invitations = {**invitations, key: invitations.get(key, 0) + 1}
    entry = TrainerEntry(core.height, by_genesis=False)
    return replace(
        state,
        core=replace(
            core,
            trust=admit(state.params.trust, core.trust, join.trainer, core.height),
            trainers={**core.trainers, join.trainer: entry},
            joins=core.joins + 1,
            invitations=invitations,
        ),
    )


def is_equivocation(first: UpdateHeader | Seal, second: UpdateHeader | Seal) -> bool:
    """Return whether no honest key signs both: one identity or height, two contents, two good signatures."""
    if isinstance(first, UpdateHeader) and isinstance(second, UpdateHeader):
        conflict = build_identity_key(first) == build_identity_key(second)
        conflict = conflict and compute_update_id(first) != compute_update_id(second)
    elif isinstance(first, Seal) and isinstance(second, Seal):
        conflict = (first.validator, first.height) == (second.validator, second.height)
        conflict = conflict and first.header != second.header
    else:
        return False
    return conflict and first.chain == second.chain and verify_message(first) and verify_message(second)


def build_evidence(first: bytes, second: bytes) -> Evidence:
    """Return evidence with its two records in ascending order, so that one conflict has one form."""
    return Evidence(*sorted((first, second)))


def apply_evidence(state: ChainState, evidence: Evidence) -> ChainState:
    """Convict an equivocating key: a trainer is penalised at the close, a validator loses its votes (CHAIN-12).

    **Raises** RemoteProtocolError unless the two records conflict, verify, and are not punished already.
    """
    first, second = decode_record(evidence.first), decode_record(evidence.second)
    if evidence.first >= evidence.second:
        raise RemoteProtocolError("CHAIN-12", "the two records in ascending order", "another order")
    if not (isinstance(first, UpdateHeader | Seal) and isinstance(second, UpdateHeader | Seal)):
        raise RemoteProtocolError("CHAIN-12", "two update headers or two seals", type(first).__name__)
    if first.chain != state.chain or not is_equivocation(first, second):
        raise RemoteProtocolError("CHAIN-12", "two signed records that conflict", "records that do not")
    if isinstance(first, Seal):
        return _mute_validator(state, first.validator, evidence)
    return _convict_trainer(state, first, evidence)


def _mute_validator(state: ChainState, validator: bytes, evidence: Evidence) -> ChainState:
    core = state.core
    if validator not in state.genesis.validators or validator in core.muted:
        raise RemoteProtocolError("CHAIN-12", "a validator that still has its votes", validator.hex()[:12])
    muted = tuple(sorted((*core.muted, validator)))
    return replace(state, core=replace(core, muted=muted, evidence=(*core.evidence, evidence)))


def _convict_trainer(state: ChainState, header: UpdateHeader, evidence: Evidence) -> ChainState:
    core = state.core
    key = build_identity_key(header)
    known = core.known.get(key)
    in_window = is_base_allowed(state.params.sync, header.base_height, core.height)
    if header.trainer not in core.trainers or not in_window:
        raise RemoteProtocolError("CHAIN-12", "a member's update within the staleness window", "another")
    # One conviction a round says it all, and bounds what one key's conflicts can add to a block.
    if header.trainer in core.convicted or (known is not None and known.convicted):
        raise RemoteProtocolError("CHAIN-12", "a conflict not yet punished", "a punished one")
    mark = known or KnownHeader(
        compute_update_id(header), header.trainer, header.base_height, header.payload_root, core.position
    )
    pending = {update: item for update, item in core.pending.items() if build_identity_key(item.header) != key}
    return replace(
        state,
        core=replace(
            core,
            pending=pending,
            known={**core.known, key: replace(mark, convicted=True)},
            evidence=(*core.evidence, evidence),
            convicted=tuple(sorted((*core.convicted, header.trainer))),
        ),
    )
