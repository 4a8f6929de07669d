"""What a dishonest trainer does to its data or its update, for experiments.

An attack is written ``NAME:key=value,key=value@FRACTION``, for instance ``gaussian:std=0.05@0.3``:
three in ten trainers add noise.
"""

from flobc.learning.attacks.base import Attack, KnowingAttack, Knowledge
from flobc.learning.attacks.catalogue import ATTACKS, AttackSpec, parse_attack
from flobc.learning.attacks.examples import Backdoor, LabelFlip
from flobc.learning.attacks.updates import NoiseStep

__all__ = [
    "ATTACKS",
    "Attack",
    "AttackSpec",
    "Backdoor",
    "KnowingAttack",
    "Knowledge",
    "LabelFlip",
    "NoiseStep",
    "parse_attack",
]
