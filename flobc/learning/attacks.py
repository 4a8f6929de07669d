"""What a dishonest trainer does to its data or its update, for experiments.

An attack is written ``NAME:key=value,key=value@FRACTION``, for instance ``gaussian:std=0.05@0.3``:
three in ten trainers add noise.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import ClassVar

import numpy as np

from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.learning.task import Examples, Vector


@dataclass(frozen=True)
class Attack:
    """An attack that does nothing; others override one of the two methods."""

    name: ClassVar[str] = ""

    def poison_examples(self, examples: Examples, rng: np.random.Generator) -> Examples:
        """Return the examples to train on."""
        del rng
        return examples

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return the update to publish for ``delta``; ``index`` is the trainer's number from 0."""
        del rng, index
        return delta


@dataclass(frozen=True)
class Gaussian(Attack):
    """Adds normal noise of the standard deviation ``std`` to the update."""

    name: ClassVar[str] = "gaussian"
    std: float = 0.05

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return ``delta`` + N(0, std^2)."""
        del index
        noise = rng.standard_normal(delta.shape, dtype=np.float32)
        noise *= np.float32(self.std)
        return delta + noise


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
        return _scale(delta, -self.factor)


@dataclass(frozen=True)
class Scaling(Attack):
    """Publishes ``factor`` times the update, to outweigh the others."""

    name: ClassVar[str] = "scaling"
    factor: float = 10.0

    def poison_update(self, delta: Vector, rng: np.random.Generator, index: int) -> Vector:
        """Return factor * ``delta``."""
        del rng, index
        return _scale(delta, self.factor)


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


ATTACKS: dict[str, type[Attack]] = {
    kind.name: kind for kind in (Gaussian, NoiseStep, SignFlip, Scaling, LabelFlip, NotANumber, Zero)
}


@dataclass(frozen=True)
class AttackSpec:
    """An attack and the share of trainers that carry it out."""

    attack: Attack
    fraction: float = 1.0

    def count_attackers(self, trainers: int) -> int:
        """Return how many of ``trainers`` attack: the nearest whole number, at least one."""
        return min(trainers, max(1, round(self.fraction * trainers)))

    def __str__(self) -> str:
        options = ",".join(f"{field.name}={getattr(self.attack, field.name):g}" for field in fields(self.attack))
        return f"{self.attack.name}{':' if options else ''}{options}@{self.fraction:g}"


def parse_attack(text: str) -> AttackSpec:
    """Read ``NAME:key=value,key=value@FRACTION``; options and fraction may be left out.

    **Raises**: :class:`UsageError` naming the part that cannot be read, with the nearest name.
    """
    body, at, share = text.partition("@")
    name, _, options = body.partition(":")
    if name not in ATTACKS:
        raise UsageError(f"There is no attack {name!r}{suggest(name, ATTACKS)} Use one of {', '.join(ATTACKS)}.")
    fraction = _parse_number(share, f"the fraction of {text!r}", float) if at else 1.0
    if not 0.0 < fraction <= 1.0:
        raise UsageError(f"The fraction of {text!r} must be above 0 and at most 1, not {share}.")
    return AttackSpec(ATTACKS[name](**_parse_options(ATTACKS[name], options)), fraction)


def _parse_options(kind: type[Attack], options: str) -> dict[str, float]:
    known = {field.name: field.type for field in fields(kind)}
    values: dict[str, float] = {}
    for part in filter(None, options.split(",")):
        key, _, value = part.partition("=")
        if key not in known:
            choices = f"Use {', '.join(known)}." if known else "It has none."
            raise UsageError(f"The attack {kind.name} has no option {key!r}{suggest(key, known)} {choices}")
        number = int if known[key] == "int" else float
        values[key] = _parse_number(value, f"{key} of the attack {kind.name}", number)
    return values


def _parse_number(text: str, what: str, kind: type[int] | type[float]) -> float:
    try:
        value = kind(text)
    except ValueError:
        value = np.nan
    if not (np.isfinite(value) and value >= 0):
        raise UsageError(f"Expected a number of at least 0 for {what}, but found {text!r}.")
    return value


def _scale(delta: Vector, factor: float) -> Vector:
    with np.errstate(over="ignore", invalid="ignore"):  # an update that overflows is refused by the validators
        return delta * np.float32(factor)
