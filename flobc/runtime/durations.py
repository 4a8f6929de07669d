"""How long work takes under the virtual clock: drawn from the seed, never measured (SYNC)."""

from __future__ import annotations

from dataclasses import dataclass

from flobc.protocol.bounds import PPM
from flobc.runtime.seeds import derive_bits


@dataclass(frozen=True)
class Durations:
    """Virtual milliseconds per kind of work; training varies by +-``spread_ppm`` around its mean."""

    seed: int
    train_ms: int = 1_000
    spread_ppm: int = 200_000
    score_ms: int = 20
    evaluate_ms: int = 20
    aggregate_ms: int = 50

    def draw(self, mean_ms: int, *labels: object) -> int:
        """Return a duration near ``mean_ms``, the same for the same seed and labels."""
        fraction_ppm = derive_bits(self.seed, *labels) % (2 * self.spread_ppm + 1)
        return max(1, mean_ms + mean_ms * (fraction_ppm - self.spread_ppm) // PPM)
