"""Attackers that know the honest updates and hide among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import NormalDist
from typing import ClassVar

import numpy as np

from flobc.learning.attacks.base import KnowingAttack, Knowledge, add_noise, scale
from flobc.learning.task import Vector

_CERTAIN = 0.999
"""What a share of 1 counts as: the normal distribution has no largest value."""
_GAMMA, _GAMMA_ERROR = 10.0, 1e-5


@dataclass(frozen=True)
class LittleIsEnough(KnowingAttack):
    """Moves every coordinate by ``z`` standard deviations of the honest updates: mu - z * sigma.

    With ``z`` = 0 it is as large as a defence must still take for honest: with n trainers and m attackers,
    z = the normal quantile of (n - m - s) / (n - m) for s = floor(n / 2 + 1) - m.
    **Source**: Baruch, Baruch and Goldberg, NeurIPS 2019 (arXiv 1902.06156), algorithm 3.
    """

    name: ClassVar[str] = "alie"
    z: float = 0.0

    def forge(self, delta: Vector, known: Knowledge, rng: np.random.Generator, index: int) -> Vector:
        """Return mu - z * sigma."""
        del delta, index
        mean, deviation = _describe(known)
        return _disguise(mean - np.float32(self.z or self._find_z(known)) * deviation, rng)

    def _find_z(self, known: Knowledge) -> float:
        honest, attackers = len(known.honest), known.attackers
        supporters = (honest + attackers) // 2 + 1 - attackers
        return NormalDist().inv_cdf(min(max((honest - supporters) / honest, 1 - _CERTAIN), _CERTAIN))


@dataclass(frozen=True)
class InnerProduct(KnowingAttack):
    """Publishes the honest mean backwards, ``epsilon`` times: the sum's product with the true gradient turns negative.

    **Source**: Xie, Koyejo and Gupta, UAI 2019 (arXiv 1903.03936), inner product manipulation.
    """

    name: ClassVar[str] = "ipm"
    epsilon: float = 0.5

    def forge(self, delta: Vector, known: Knowledge, rng: np.random.Generator, index: int) -> Vector:
        """Return -epsilon * mu."""
        del delta, index
        return _disguise(scale(_describe(known)[0], -self.epsilon), rng)


@dataclass(frozen=True)
class MinMax(KnowingAttack):
    """Goes as far from the honest mean, against the standard deviation, as no honest pair is apart.

    mu - gamma * sigma with the largest gamma for which no honest update is farther from it than two honest ones from
    each other. **Source**: Shejwalkar and Houmansadr, NDSS 2021, "Manipulating the Byzantine", min-max, algorithm 1.
    """

    name: ClassVar[str] = "min_max"

    def forge(self, delta: Vector, known: Knowledge, rng: np.random.Generator, index: int) -> Vector:
        """Return mu - gamma * sigma."""
        del delta, index
        mean, deviation = _describe(known)
        offsets = np.stack(known.honest).astype(np.float64) - mean
        lengths = np.einsum("id,id->i", offsets, offsets)
        products = offsets @ offsets.T
        limit = float((lengths[:, None] + lengths[None, :] - 2 * products).max())
        along, width = offsets @ deviation.astype(np.float64), float(deviation.astype(np.float64) @ deviation)

        def is_hidden(gamma: float) -> bool:
            return bool((lengths + 2 * gamma * along + gamma * gamma * width).max() <= limit)

        return _disguise(mean - np.float32(_find_largest(is_hidden)) * deviation, rng)


@dataclass(frozen=True)
class Copycat(KnowingAttack):
    """Publishes another trainer's update as its own."""

    name: ClassVar[str] = "copycat"

    def forge(self, delta: Vector, known: Knowledge, rng: np.random.Generator, index: int) -> Vector:
        """Return an honest update."""
        del delta, rng
        return known.honest[index % len(known.honest)].copy()


@dataclass(frozen=True)
class FreeRider(KnowingAttack):
    """Trains nothing and publishes the last block's step again, under normal noise of the deviation ``std``.

    **Source**: delta weights, Lin, Du and Liu, arXiv 1911.12560; noise as in Fraboni, Vidal and Lorenzi, arXiv
    2006.11901.
    """

    name: ClassVar[str] = "free_rider"
    std: float = 1e-6

    def forge(self, delta: Vector, known: Knowledge, rng: np.random.Generator, index: int) -> Vector:
        """Return the last step + N(0, std^2)."""
        del delta, index
        return _disguise(known.last_step, rng, self.std)


def _disguise(update: Vector, rng: np.random.Generator, std: float = 1e-6) -> Vector:
    """Let it be nobody else's: of updates that are alike to the bit the chain counts one."""
    return add_noise(update, std, rng)


def _describe(known: Knowledge) -> tuple[Vector, Vector]:
    """Mean and standard deviation of each coordinate over the honest updates."""
    updates = np.stack(known.honest)
    return updates.mean(axis=0, dtype=np.float32), updates.std(axis=0, dtype=np.float32)


def _find_largest(is_hidden: Callable[[float], bool]) -> float:
    """The publication's halving search."""
    gamma, step, found = _GAMMA, _GAMMA, 0.0
    while abs(found - gamma) > _GAMMA_ERROR and step > _GAMMA_ERROR:
        step /= 2
        if is_hidden(gamma):
            found = gamma
            gamma += step
        else:
            gamma -= step
    return found
