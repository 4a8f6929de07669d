"""Which validators attack, and what each of them knows."""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

from flobc.composition.genesis import Federation
from flobc.composition.settings import RunSettings
from flobc.ports.scheduler import Scheduler
from flobc.protocol.consensus.state import ChainState
from flobc.simulation.accomplice import Accomplice, ValidatorAttack
from flobc.simulation.attacks import parse_validator_attack


@dataclass(frozen=True)
class Surroundings:
    """What attackers see of the world that they are in."""

    clock: Scheduler
    get_state: Callable[[], ChainState]


@dataclass(frozen=True)
class Assigned:
    """An attack and the validator that carries it out."""

    attack: ValidatorAttack
    who: Accomplice


def choose_accomplices(
    attacks: tuple[str, ...],
    settings: RunSettings,
    federation: Federation,
    trainers: Collection[int],
    seen: Surroundings,
) -> dict[int, Assigned]:
    """Return the attack of each dishonest validator by number; they are taken from the highest number down.

    ``trainers`` are the numbers of the attacking trainers.
    """
    chosen: dict[int, ValidatorAttack] = {}
    free = list(range(settings.validators))
    for text in attacks:
        spec = parse_validator_attack(text)
        count = spec.count_attackers(settings.validators)
        chosen |= dict.fromkeys(free[len(free) - count :], spec.attack)
        del free[len(free) - count :]
    friends = frozenset(federation.trainers[index].public_key for index in trainers)
    fellows = frozenset(federation.validators[index].public_key for index in chosen)
    step = max(1, settings.params.scoring.score_step)

    def build(index: int) -> Accomplice:
        identity = federation.validators[index]
        return Accomplice(index, identity, settings.seed, step, friends, fellows, seen.clock, seen.get_state)

    return {index: Assigned(attack, build(index)) for index, attack in sorted(chosen.items())}
