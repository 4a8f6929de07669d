"""What a run forgets, and when: models that nobody starts from any more, updates that nobody may score any more."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection
from typing import Protocol

from flobc.ports.payloads import PayloadStore
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import UpdateHeader, compute_update_id
from flobc.protocol.roles.validator import MAX_BASES
from flobc.protocol.sync.policies import is_base_allowed

LINGERING_ROUNDS = 2
"""How many rounds longer a settled update stays, because a worker may be scoring it."""


class Held(Protocol):
    """What a node holds of models and of what updates decode to (``LearningEngine`` is one)."""

    def keep_models(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        ...

    def forget_updates(self, updates: Collection[bytes]) -> None:
        """Forget what these updates decode to."""
        ...


class Retention:
    """Bounds what a node holds; all its methods run on the scheduler's loop.

    Settled payloads are dropped from ``payloads``; with None they stay, and the decoded updates alone are forgotten.
    """

    def __init__(self, held: Held, payloads: PayloadStore | None, initial_model: bytes) -> None:
        self._held = held
        self._payloads = payloads
        self._models = {0: initial_model}
        self._open: dict[bytes, int] = {}
        self._settled: deque[set[bytes]] = deque()

    def on_block(self, height: int, model: bytes) -> None:
        """Take note of a certified model."""
        self._models[height] = model

    def on_update(self, header: UpdateHeader) -> None:
        """Take note of an update that validators may score."""
        self._open[compute_update_id(header)] = header.base_height

    def on_commit(self, state: ChainState) -> None:
        """Forget what a block has made useless; what belongs to later ones stays."""
        sync, height = state.params.sync, state.height

        def is_allowed(base: int) -> bool:
            return base > height or is_base_allowed(sync, base, height)

        self._forget_models(height, is_allowed)
        settled = {decision.update for decision in state.head.body.decisions}
        settled |= {update for update, base in self._open.items() if not is_allowed(base)}
        for update in settled:
            self._open.pop(update, None)
        self._settled.append(settled)
        if len(self._settled) > LINGERING_ROUNDS:
            self._forget_updates(self._settled.popleft())

    def _forget_models(self, height: int, is_allowed: Callable[[int], bool]) -> None:
        bases = [base for base in self._models if base <= height and is_allowed(base)][-MAX_BASES:]
        newer = [base for base in self._models if base > height]
        keep = {0, max(0, height - 1), *bases, *newer}
        self._models = {base: model for base, model in self._models.items() if base in keep}
        self._held.keep_models(frozenset(self._models.values()))

    def _forget_updates(self, updates: set[bytes]) -> None:
        self._held.forget_updates(updates)
        if self._payloads is not None:
            self._payloads.drop(updates)
