"""The trainer's role: join, train from the newest certified model, publish at most quota updates per base."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import Join, UpdateHeader
from flobc.protocol.roles.duties import Duty, Publish, Train
from flobc.protocol.sync.policies import is_k_allowed


@dataclass(frozen=True)
class TrainerRole:
    """One trainer's own memory; ``published`` maps (base height, k) to the header it signed for it."""

    key: bytes
    join: Join | None = None
    published: dict[tuple[int, int], UpdateHeader] = field(default_factory=dict)


def on_published(role: TrainerRole, header: UpdateHeader) -> TrainerRole:
    """Return the role after it signed ``header``; headers of long past bases are forgotten."""
    kept = {key: item for key, item in role.published.items() if key[0] >= header.base_height - 1}
    return replace(role, published={**kept, (header.base_height, header.k): header})


def get_grounds(role: TrainerRole, state: ChainState) -> tuple[object, ...]:
    """Return the immutable objects from which duties follow: while they are the same, so are the duties."""
    return (role, state.head, state.core.trainers, state.params)


def get_duties(role: TrainerRole, state: ChainState) -> tuple[Duty, ...]:
    """Return what the trainer owes now: its join, or the next training from the certified head (ROUND-1..ROUND-3)."""
    entry = state.core.trainers.get(role.key)
    if entry is None:
        return (Publish(role.join),) if role.join is not None else ()
    base = state.height
    if base <= entry.last_used_base:
        return ()
    k = sum(1 for height, _ in role.published if height == base)
    if not is_k_allowed(state.params.sync, k):
        return ()
    return (Train(base, state.head.header.model, k),)
