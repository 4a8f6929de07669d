"""Attackers that change their own update and look at nobody else's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flobc.learning.attacks.base import Attack, add_noise, scale
from flobc.learning.task import Vector


@dataclass(frozen=True)
class Gaussian(Attack):
    """Adds normal noise of the standard deviation ``std`` to the update."""

    name: ClassVar[str] = "gaussian"
    std: float = 0.05

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return ``delta`` + N(0, std^2)."""
        del index
        return add_noise(delta, self.std, rng)


@dataclass(frozen=True)
class NoiseRamp(Attack):
    """Adds normal noise that grows with the trainer's number: sigma_i = ``step`` * i. Trainer 0 stays honest.

    **Source**: FLoBC, arXiv 2112.11873, experiment 2 as printed.
    """

    name: ClassVar[str] = "noise_ramp"
    step: float = 0.0545

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return ``delta`` + N(0, (step * index)^2)."""
        return add_noise(delta, self.step * index, rng)


@dataclass(frozen=True)
class NoiseStep(Attack):
    """Adds the noise of the published demo, which grows with the trainer's number.

    n = 2 s (mean of 7 U(0, 1) - 1/2) with s = ``step`` * index: a bell within +-s of the standard
    deviation s / sqrt(21). Trainer 0 stays honest. **Source**: FLoBC, arXiv 2112.11873, experiment 2.
    """

    name: ClassVar[str] = "noise_step"
    step: float = 0.1

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return ``delta`` + n."""
        total = rng.random(delta.shape, dtype=np.float32)
        for _ in range(6):
            total += rng.random(delta.shape, dtype=np.float32)
        total /= np.float32(7.0)
        total -= np.float32(0.5)
        total *= np.float32(2.0 * self.step * index)
        return delta + total


@dataclass(frozen=True)
class SignFlip(Attack):
    """Publishes the opposite of the update, ``factor`` times."""

    name: ClassVar[str] = "sign_flip"
    factor: float = 1.0

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return -factor * ``delta``."""
        del rng, index
        return scale(delta, -self.factor)


@dataclass(frozen=True)
class Scaling(Attack):
    """Publishes ``factor`` times the update, to outweigh the others."""

    name: ClassVar[str] = "scaling"
    factor: float = 10.0

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return factor * ``delta``."""
        del rng, index
        return scale(delta, self.factor)


@dataclass(frozen=True)
class NotANumber(Attack):
    """Publishes NaN everywhere, to see it refused."""

    name: ClassVar[str] = "nan"

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return NaN in each place."""
        del rng, index
        return np.full_like(delta, np.nan)


@dataclass(frozen=True)
class Zero(Attack):
    """Publishes an update that changes nothing: a free rider."""

    name: ClassVar[str] = "zero"

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return zeros."""
        del rng, index
        return np.zeros_like(delta)


@dataclass(frozen=True)
class StalePumping(Attack):
    """Publishes only from the oldest base that is allowed, all its quota at once, and ``factor`` times each update.

    Where no late updates are taken it is an honest trainer with a factor. **Source**: staleness as in the FLoBC paper
    (arXiv 2112.11873), whose prototype took late updates at full weight and without a bound.
    """

    name: ClassVar[str] = "stale_pumping"
    holds_back: ClassVar[bool] = True
    factor: float = 1.0

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return factor * ``delta``."""
        del rng, index
        return scale(delta, self.factor)
