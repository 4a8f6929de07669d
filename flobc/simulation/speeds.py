"""How long each node's work takes in virtual time."""

from __future__ import annotations

from flobc.protocol.bounds import PPM
from flobc.runtime.durations import Durations
from flobc.runtime.seeds import derive_bits
from flobc.simulation.distributions import draw, draw_share
from flobc.simulation.scenario import SpeedsScenario


class Speeds:
    """Every trainer's speed, drawn once, and each training's, around it."""

    def __init__(self, scenario: SpeedsScenario, trainers: int, seed: int) -> None:
        self._scenario = scenario
        self._seed = seed
        self._factors = _choose_stragglers(scenario, trainers, seed)
        self.durations = Durations(
            seed,
            score_ms=scenario.scoring,
            evaluate_ms=scenario.evaluating,
            aggregate_ms=scenario.aggregating,
        )

    def get_mean_ms(self, trainer: int) -> float:
        """Return how long this trainer takes on average for one training."""
        mean_ms = draw(self._scenario.training, self._seed, "speed", trainer)
        return max(1, mean_ms) * self._factors.get(trainer, 1.0)

    def draw_training_ms(self, trainer: int, *labels: object) -> int:
        """Return how long one training takes, the same for the same labels."""
        spread = self._scenario.variation / PPM * (2 * draw_share(self._seed, "training", trainer, *labels) - 1)
        return max(1, round(self.get_mean_ms(trainer) * (1 + spread)))


def _choose_stragglers(scenario: SpeedsScenario, trainers: int, seed: int) -> dict[int, float]:
    """Return the factor of each trainer that belongs to a group; no trainer is in two."""
    ranked = sorted(range(trainers), key=lambda number: (derive_bits(seed, "straggler", number), number))
    factors: dict[int, float] = {}
    start = 0
    for group in scenario.stragglers:
        stop = min(trainers, start + (trainers * group.share + PPM // 2) // PPM)
        factors.update(dict.fromkeys(ranked[start:stop], group.factor))
        start = stop
    return factors
