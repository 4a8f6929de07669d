"""The trainer's role: join, train from the newest certified model, publish at most quota updates per base."""

from __future__ import annotations

from dataclasses import dataclass, replace

from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import Join, UpdateHeader
from flobc.protocol.roles.duties import Duty, Publish, Train
from flobc.protocol.sync.policies import is_base_allowed, is_k_allowed


@dataclass(frozen=True)
class TrainerRole:
    """One trainer's own memory; ``signed`` is the highest (base height, k) that it ever signed a header for."""

    key: bytes
    join: Join | None = None
    signed: tuple[int, int] = (-1, 0)


def on_published(role: TrainerRole, header: UpdateHeader) -> TrainerRole:
    """Return the role after it signed ``header``, now or before a restart."""
    return replace(role, signed=max(role.signed, (header.base_height, header.k)))


def get_grounds(role: TrainerRole, state: ChainState) -> tuple[object, ...]:
    """Return the immutable objects from which duties follow: while they are the same, so are the duties."""
    return (role, state.head, state.core.trainers, state.params)


def is_of_use(role: TrainerRole, state: ChainState, base_height: int) -> bool:
    """Return whether an update of this trainer from a base up to the head could still be decided (ROUND-1, ROUND-3)."""
    entry = state.core.trainers.get(role.key)
    if entry is None or base_height <= entry.last_used_base:
        return False
    return is_base_allowed(state.params.sync, base_height, state.height)


def get_duties(role: TrainerRole, state: ChainState) -> tuple[Duty, ...]:
    """Return what the trainer owes now: its join, or the next training from the certified head (ROUND-1..ROUND-3).

    Identities are signed in ascending order, so below the highest one nothing is owed: a head that lies behind it
    is a ledger's that was wiped and has not caught up (ROUND-2).
    """
    entry = state.core.trainers.get(role.key)
    if entry is None:
        return (Publish(role.join),) if role.join is not None else ()
    base = state.height
    signed_base, signed_k = role.signed
    if base <= entry.last_used_base or base < signed_base:
        return ()
    k = signed_k + 1 if base == signed_base else 0
    if not is_k_allowed(state.params.sync, k):
        return ()
    return (Train(base, state.head.header.model, k),)
