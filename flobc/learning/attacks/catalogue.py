"""Attacks by name, and how a person writes one down."""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from flobc.errors import UsageError
from flobc.learning.attacks.base import Attack
from flobc.learning.attacks.examples import Backdoor, LabelFlip
from flobc.learning.attacks.knowing import Copycat, FreeRider, InnerProduct, LittleIsEnough, MinMax
from flobc.learning.attacks.updates import (
    Gaussian,
    NoiseRamp,
    NoiseStep,
    NotANumber,
    Scaling,
    SignFlip,
    StalePumping,
    Zero,
)
from flobc.learning.suggest import suggest

_KINDS: tuple[type[Attack], ...] = (
    Gaussian,
    NoiseRamp,
    NoiseStep,
    SignFlip,
    Scaling,
    LabelFlip,
    Backdoor,
    NotANumber,
    Zero,
    FreeRider,
    Copycat,
    LittleIsEnough,
    InnerProduct,
    MinMax,
    StalePumping,
)
ATTACKS: dict[str, type[Attack]] = {kind.name: kind for kind in _KINDS}


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
