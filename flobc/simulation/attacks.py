"""Dishonest validators by name, and how a person writes one down.

An attack is written ``NAME:key=value,key=value@SHARE``, for instance ``silent@0.25``; a further one is a frozen
dataclass whose fields are its options, and a row in ``_KINDS``.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.simulation.accomplice import ValidatorAttack
from flobc.simulation.false_records import Equivocating, LazyCopy, Silent
from flobc.simulation.false_scores import Deflation, Inflation, RandomScores

_KINDS: tuple[type[ValidatorAttack], ...] = (Silent, RandomScores, Inflation, Deflation, Equivocating, LazyCopy)
VALIDATOR_ATTACKS: dict[str, type[ValidatorAttack]] = {kind.name: kind for kind in _KINDS}


@dataclass(frozen=True)
class ValidatorAttackSpec:
    """An attack and the share of validators that carry it out."""

    attack: ValidatorAttack
    fraction: float = 1.0

    def count_attackers(self, validators: int) -> int:
        """Return how many of ``validators`` attack: the nearest whole number, at least one."""
        return min(validators, max(1, round(self.fraction * validators)))


def parse_validator_attack(text: str) -> ValidatorAttackSpec:
    """Read ``NAME:key=value@SHARE``. **Raises** UsageError naming the part that cannot be read."""
    body, at, fraction = text.partition("@")
    name, _, options = body.partition(":")
    if name not in VALIDATOR_ATTACKS:
        raise UsageError(
            f"There is no validators' attack {name!r}{suggest(name, VALIDATOR_ATTACKS)} "
            f"Use one of {', '.join(VALIDATOR_ATTACKS)}."
        )
    share = _parse_number(fraction, f"the share of {text!r}") if at else 1.0
    if not 0.0 < share <= 1.0:
        raise UsageError(f"The share of {text!r} must be above 0 and at most 1, not {fraction}.")
    kind = VALIDATOR_ATTACKS[name]
    known = [item.name for item in fields(kind)]
    values: dict[str, float] = {}
    for part in filter(None, options.split(",")):
        option, _, value = part.partition("=")
        if option not in known:
            choices = f"Use {', '.join(known)}." if known else "It has none."
            raise UsageError(f"The attack {name} has no option {option!r}{suggest(option, known)} {choices}")
        values[option] = _parse_number(value, f"{option} of the attack {name}")
    return ValidatorAttackSpec(kind(**values), share)


def _parse_number(text: str, what: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        raise UsageError(f"Expected a number of at least 0 for {what}, but found {text!r}.")
    return value
