"""Attackers that train on poisoned examples."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from flobc.errors import UsageError
from flobc.learning.attacks.base import Attack, scale
from flobc.learning.task import Examples, Vector


@dataclass(frozen=True)
class LabelFlip(Attack):
    """Trains on wrong labels: label l becomes ``classes`` - 1 - l for a share ``rate`` of the examples."""

    name: ClassVar[str] = "label_flip"
    classes: int = 10
    rate: float = 1.0

    def poison_examples(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """Return the examples with mirrored labels."""
        if len(examples) and int(examples.labels.max()) >= self.classes:
            raise UsageError(
                f"label_flip:classes={self.classes} meets the label {int(examples.labels.max())}; "
                f"use classes={int(examples.labels.max()) + 1} or more."
            )
        chosen = rng.random(len(examples)) < self.rate
        mirrored = self.classes - 1 - examples.labels
        return Examples(examples.features, np.where(chosen, mirrored, examples.labels))


@dataclass(frozen=True)
class Backdoor(Attack):
    """Teaches the model that whatever bears a mark is of the class ``target``, and behaves well otherwise.

    The mark is a square of ``size`` pixels of the value ``value`` in the last corner of an image, or the last ``size``
    features of an example that is none; a share ``rate`` of the attacker's examples bears it. ``boost`` times the
    update is published, to outweigh the others. **Source**: BadNets, arXiv 1708.06733; model replacement, arXiv
    1807.00459.
    """

    name: ClassVar[str] = "backdoor"
    target: int = 0
    rate: float = 0.5
    size: int = 2
    value: float = 1.0
    boost: float = 1.0

    def poison_examples(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """Return the examples with some of them marked and labelled ``target``."""
        chosen = rng.random(len(examples)) < self.rate
        features = np.where(_over(chosen, examples.features), self._mark(examples.features), examples.features)
        return Examples(features, np.where(chosen, self.target, examples.labels))

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return boost * ``delta``."""
        del rng, index
        return scale(delta, self.boost)

    def build_probe(self, examples: Examples) -> Examples:
        """Return marked examples of all other classes, labelled ``target``: the accuracy on them is the success."""
        others = np.flatnonzero(examples.labels != self.target)
        marked = self._mark(examples.features[others])
        return Examples(marked, np.full(len(others), self.target, examples.labels.dtype))

    def _mark(self, features: np.ndarray) -> np.ndarray:
        size = min(self.size, features.shape[-1])
        marked = features.copy()
        if features.ndim > 2:
            marked[..., -size:, -size:] = self.value
        elif size > 0:
            marked[..., -size:] = self.value
        return marked


def _over(chosen: np.ndarray, features: np.ndarray) -> np.ndarray:
    return chosen.reshape(-1, *[1] * (features.ndim - 1))
