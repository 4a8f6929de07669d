"""Succession: a chain ends and another goes on from it, with nothing certified left behind (CHAIN-13..CHAIN-18).

Each old validator signs one ``Approve`` of a plan and never seals on the old chain again. Any quorum of
approvals then determines from which header the successor may start: one that no certificate can ever
lie beyond. docs/adr/0009 has the argument.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from flobc.errors import FlobcError, UsageError, VerificationError
from flobc.protocol.chain.block import Header, compute_header_digest
from flobc.protocol.consensus.state import CoreState, build_initial_state, decode_state
from flobc.protocol.encoding import compute_digest, encode
from flobc.protocol.messages import Approve, Ready, Seal, verify_message
from flobc.protocol.params import Genesis, Parent, Plan, get_chain_id, get_quorum, validate_genesis

Proof = tuple[Seal, ...] | tuple[Ready, ...]


@dataclass(frozen=True)
class Start:
    """A header that a successor may start from, with the core state it commits to and what proves it.

    ``seals`` or ``readys`` are a quorum's; both are empty for the parent's own block 0.
    """

    header: Header
    state: bytes
    seals: tuple[Seal, ...] = ()
    readys: tuple[Ready, ...] = ()


def build_first_start(parent: Genesis) -> Start:
    """Return the start of a successor of a chain that never got beyond its genesis."""
    state = build_initial_state(parent)
    return Start(state.head.header, encode(state.core))


def get_plan(genesis: Genesis) -> Plan:
    """Return the plan that a successor's genesis carries out. **Raises** UsageError when it names no parent."""
    parent = genesis.parent
    if parent is None:
        raise UsageError("This genesis names no parent: the chain is nobody's successor.")
    return Plan(
        chain=parent.header.chain,
        version=genesis.version,
        validators=genesis.validators,
        admitted=parent.admitted,
        removed=parent.removed,
        params=genesis.params,
    )


def compute_trainers(plan: Plan, core: CoreState) -> tuple[bytes, ...]:
    """Return the successor's trainers: the plan's, and of the registry who is not removed, oldest members first.

    Those beyond ``max_trainers`` stay behind, so that no late join can spoil a plan that was approved.
    """
    barred = {*plan.removed, *plan.admitted, *plan.validators}
    kept = sorted(
        (trainer for trainer in core.trainers if trainer not in barred),
        key=lambda trainer: (core.trainers[trainer].admitted_height, trainer),
    )
    room = plan.params.admission.max_trainers - len(plan.admitted)
    return tuple(sorted((*plan.admitted, *kept[: max(room, 0)])))


def build_genesis(parent: Genesis, plan: Plan, start: Start, approvals: tuple[Approve, ...]) -> Genesis:
    """Return the one genesis that plan, start and approvals determine (CHAIN-16). **Raises** RemoteProtocolError."""
    core = decode_state(start.state, start.header.state)
    link = Parent(
        header=start.header,
        state=start.state,
        params=parent.params,
        admitted=plan.admitted,
        removed=plan.removed,
        seals=start.seals,
        readys=start.readys,
        approvals=approvals,
    )
    return dataclasses.replace(
        parent,
        version=plan.version,
        initial_model=start.header.model,
        validators=plan.validators,
        trainers=compute_trainers(plan, core),
        params=plan.params,
        parent=link,
    )


def validate_plan(parent: Genesis, plan: Plan, start: Start) -> None:
    """Check that a successor by this plan could live, if it began at ``start`` (CHAIN-13).

    Trainers only ever come in, so what lives from here lives from every later header.

    **Raises** UsageError.
    """
    if plan.chain != get_chain_id(parent):
        raise UsageError(
            f"The plan is for chain {plan.chain.hex()[:12]}, this is {get_chain_id(parent).hex()[:12]}; "
            "give the chain that it was made for."
        )
    for name, keys in (("admitted", plan.admitted), ("removed", plan.removed)):
        if list(keys) != sorted(set(keys)):
            raise UsageError(f"The plan's {name} trainers must be distinct keys in ascending order; propose it anew.")
    if set(plan.admitted) & set(plan.removed):
        raise UsageError("The plan admits and removes the same trainer; choose one.")
    validate_genesis(build_genesis(parent, plan, start, ()))


def build_approve(plan: Plan, validator: bytes, sealed: Seal | None) -> Approve:
    """Return a validator's unsigned approval; ``sealed`` is the last seal that it ever made on the old chain."""
    return Approve(plan.chain, validator, compute_digest(plan), sealed)


def is_valid_approve(parent: Genesis, plan: Plan, approve: Approve) -> bool:
    """Return whether a validator of the parent signed this approval of the plan, with a seal of its own (CHAIN-14)."""
    seal = approve.sealed
    return (
        approve.chain == plan.chain
        and approve.plan == compute_digest(plan)
        and approve.validator in parent.validators
        and verify_message(approve)
        and (seal is None or _is_own_seal(approve, seal))
    )


def _is_own_seal(approve: Approve, seal: Seal) -> bool:
    return (seal.chain, seal.validator) == (approve.chain, approve.validator) and verify_message(seal)


def is_proved(parent: Genesis, start: Start) -> bool:
    """Return whether a quorum sealed or was ready with this header, or it is the parent's own block 0 (CHAIN-15)."""
    if not start.seals and not start.readys:
        return start.header == build_initial_state(parent).head.header
    if start.seals and start.readys:
        return False
    header, digest = start.header, compute_header_digest(start.header)
    proof: Proof = start.seals or start.readys
    signers = [item.validator for item in proof]
    return (
        header.chain == get_chain_id(parent)
        and signers == sorted(set(signers))
        and len(signers) >= get_quorum(len(parent.validators))
        and set(signers) <= set(parent.validators)
        and all((item.chain, item.height, item.header) == (header.chain, header.height, digest) for item in proof)
        and all(verify_message(item) for item in proof)
    )


def allows(approve: Approve, start: Start) -> bool:
    """Return whether what an approver sealed leaves ``start`` open: no certificate with its seal lies beyond it.

    Its last seal is of a lower height, or on this very header; at the same height another one does
    no harm when the start is certified, because two headers of one height never both are.
    """
    seal = approve.sealed
    if seal is None or seal.height < start.header.height:
        return True
    if seal.height > start.header.height:
        return False
    return bool(start.seals) or seal.header == compute_header_digest(start.header)


def build_successor(parent: Genesis, plan: Plan, starts: Sequence[Start], approvals: Sequence[Approve]) -> Genesis:
    """Return the genesis of the successor, from the highest of the ``starts`` that a quorum of approvals allows.

    The same plan, starts and approvals give the same bytes, in whatever order they come. Invalid
    approvals do not count, nor do those whose seal lies beyond the start.

    **Raises** UsageError when there are too few, and says what is missing.
    """
    quorum = get_quorum(len(parent.validators))
    valid = {item.validator: item for item in sorted(approvals, key=encode) if is_valid_approve(parent, plan, item)}
    if len(valid) < quorum:
        raise UsageError(
            f"A successor needs approvals of this plan by {quorum} of the {len(parent.validators)} validators, "
            f"but there are {len(valid)} good ones; let more validators approve it."
        )
    proved = [start for start in starts if is_proved(parent, start)]
    for start in sorted(proved, key=_by_height, reverse=True):
        allowing = tuple(item for _, item in sorted(valid.items()) if allows(item, start))
        if len(allowing) >= quorum:
            genesis = build_genesis(parent, plan, start, allowing)
            validate_genesis(genesis)
            return genesis
    newest = max((item.sealed.height for item in valid.values() if item.sealed is not None), default=0)
    raise UsageError(
        f"The approvals speak of seals up to block {newest}, and no block at hand covers a quorum of them; bring a "
        "copy of the chain with the log that leads there, or the approvals of more validators."
    )


def _by_height(start: Start) -> tuple[int, bool, bytes]:
    return start.header.height, bool(start.seals), encode(start.header)


def validate_successor(parent: Genesis, child: Genesis) -> None:
    """Check, from the parent's genesis alone, that ``child`` is the genesis of a rightful successor (CHAIN-16).

    **Raises** VerificationError, naming the rule.
    """
    link = child.parent
    if link is None:
        raise VerificationError(0, "CHAIN-16", "the genesis names no parent")
    if link.header.chain != get_chain_id(parent):
        named, given = link.header.chain.hex()[:12], get_chain_id(parent).hex()[:12]
        raise VerificationError(0, "CHAIN-16", f"the genesis names chain {named} as its parent, not {given}")
    start, plan = Start(link.header, link.state, link.seals, link.readys), get_plan(child)
    if not is_proved(parent, start):
        raise VerificationError(
            0, "CHAIN-15", f"no quorum of the parent sealed or was ready with block {link.header.height}"
        )
    _require_approved(parent, plan, start, link.approvals)
    try:
        validate_plan(parent, plan, start)
        expected = build_genesis(parent, plan, start, link.approvals)
    except FlobcError as error:
        raise VerificationError(0, "CHAIN-16", str(error)) from error
    for field in dataclasses.fields(expected):
        if getattr(expected, field.name) != getattr(child, field.name):
            raise VerificationError(0, "CHAIN-16", f"the genesis has another {field.name} than plan and parent give it")


def _require_approved(parent: Genesis, plan: Plan, start: Start, approvals: tuple[Approve, ...]) -> None:
    signers = [item.validator for item in approvals]
    if signers != sorted(set(signers)):
        raise VerificationError(0, "CHAIN-14", "the approvals are not distinct and in order")
    quorum = get_quorum(len(parent.validators))
    if len(signers) < quorum:
        raise VerificationError(0, "CHAIN-15", f"there are {len(signers)} approvals of the {quorum} that it needs")
    for item in approvals:
        name = item.validator.hex()[:12]
        if not is_valid_approve(parent, plan, item):
            raise VerificationError(0, "CHAIN-14", f"the approval of {name} is no validator's for this plan")
        if not allows(item, start):
            raise VerificationError(0, "CHAIN-15", f"{name} sealed a block that lies beyond the start")
