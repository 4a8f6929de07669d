"""What an attack is: a dishonest trainer's data or update in place of the honest one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flobc.learning.task import Examples, Vector


@dataclass(frozen=True)
class Attack:
    """An attack that does nothing; others override one of the two methods."""

    name: ClassVar[str] = ""
    holds_back: ClassVar[bool] = False
    """Whether its updates wait until their base is the oldest one that the chain still allows."""

    def poison_examples(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """Return the examples to train on."""
        del rng
        return examples

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return the update to publish for ``delta``; ``index`` is the trainer's number from 0."""
        del rng, index
        return delta


@dataclass(frozen=True)
class Knowledge:
    """What attackers who see everything know when they forge their updates."""

    honest: Sequence[Vector]
    """The honest trainers' updates from the same base, at least one. **Shapes**: (D,) each."""
    attackers: int
    last_step: Vector
    """By how much the last block changed the model; zeros before there is one. **Shapes**: (D,)."""


@dataclass(frozen=True)
class KnowingAttack(Attack):
    """An attack that forges its update from what it knows of others; nobody has that outside a simulated world."""

    def forge(self, delta: Vector, known: Knowledge, rng: np.random.Generator, index: int) -> Vector:
        """Return the update to publish in place of the honest ``delta``."""
        del known, rng, index
        return delta


def scale(delta: Vector, factor: float) -> Vector:
    """Return factor * ``delta``; what overflows is refused by the validators."""
    with np.errstate(over="ignore", invalid="ignore"):
        return delta * np.float32(factor)


def add_noise(update: Vector, std: float, rng: np.random.Generator) -> Vector:
    """Return ``update`` + N(0, ``std``^2)."""
    noise = rng.standard_normal(update.shape, dtype=np.float32)
    noise *= np.float32(std)
    return update + noise
