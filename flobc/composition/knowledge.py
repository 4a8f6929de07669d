"""What attackers know in a world that is simulated: everything that honest trainers publish, before they do."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from flobc.composition.genesis import Federation
from flobc.errors import NotHeld
from flobc.learning.attacks import Knowledge
from flobc.learning.task import Examples
from flobc.ports.blocks import BlockStore
from flobc.protocol.roles.duties import Train
from flobc.runtime.engine import LearningEngine
from flobc.runtime.local_updates import Vector
from flobc.runtime.seeds import derive_seed

MAX_KNOWN = 50
"""How many honest trainers attackers look at: more cost time and change what they forge little."""


@dataclass(frozen=True)
class Omniscience:
    """Finds out by doing the honest trainers' work, which is a function of its seed; it is done once for everybody."""

    engine: LearningEngine
    federation: Federation
    get_shard: Callable[[int], Examples]
    blocks: BlockStore
    seed: int
    attackers: Collection[int]

    def know(self, duty: Train) -> Knowledge:
        """Return what an attacker knows who trains from this base. **Raises** NotHeld when the model is gone."""
        base = self.engine.get_view(duty.model).vector
        honest = [index for index in range(len(self.federation.trainers)) if index not in self.attackers]
        updates = [self._train(index, duty.base_height, base) - base for index in honest[:MAX_KNOWN] or [0]]
        return Knowledge(updates, len(self.attackers), base - self._get_previous(duty, base))

    def _train(self, index: int, height: int, base: Vector) -> Vector:
        seed = derive_seed(self.seed, "train", index, height, 0)
        return self.engine.train(base, self.get_shard(index), self.federation.training, seed)

    def _get_previous(self, duty: Train, base: Vector) -> Vector:
        """The model before the base; the base itself where it is the first or the one before is gone."""
        block = None if duty.base_height < 2 else self.blocks.get(duty.base_height - 1)
        digest = self.federation.genesis.initial_model if block is None else block.header.model
        try:
            return self.engine.get_view(digest).vector
        except NotHeld:
            return base
