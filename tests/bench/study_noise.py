"""How much the published demo's noise costs: seven trainers, all but the first noisier than the last.

The same run with and without the noise, from the same seed: same initial model, shards and batches, so
the difference is taken seed by seed. Accuracies in percent, differences in points.
"""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from flobc.composition.presets import get_preset
from flobc.composition.settings import RunSettings
from tests.bench.study_cells import CellFile, Record, estimate_mean, format_columns, judge_bar
from tests.bench.study_runs import compute_settings_digest, measure_federated

BAR_POINTS = 0.5
ROUNDS = 15
NOISE_STEP = 0.1
# FLoBC's public demo, 60,000 training digits: docs/benchmarks.md says how far the two compare.
PUBLISHED_ACCURACY = 98.26


@dataclass(frozen=True)
class NoiseCell:
    """One run; ``epochs`` None is the preset's own number."""

    task: str
    rounds: int
    epochs: int | None
    noise_step: float
    seed: int

    def build_settings(self, data: Path | None) -> RunSettings:
        """The ``paper`` preset under ``bap``."""
        paper = get_preset("paper")
        sync = dataclasses.replace(paper.params.sync, scheme="bap")
        return dataclasses.replace(
            paper,
            task=self.task,
            rounds=self.rounds,
            seed=self.seed,
            params=dataclasses.replace(paper.params, sync=sync),
            training=paper.training if self.epochs is None else {"epochs": self.epochs},
            attacks=(f"noise_step:step={self.noise_step:g}",) if self.noise_step else (),
            data_directory=data,
        )

    def describe(self) -> Record:
        """All that the result depends on, as JSON data."""
        settings = compute_settings_digest(self.build_settings(None))
        return {"study": "noise", "settings": settings, **asdict(self)}


def list_cells(task: str, rounds: int, epochs: int | None, seeds: Sequence[int]) -> list[NoiseCell]:
    """Both runs of each seed, side by side."""
    return [NoiseCell(task, rounds, epochs, step, seed) for seed in seeds for step in (0.0, NOISE_STEP)]


def measure(cells: Sequence[NoiseCell], file: CellFile, data: Path | None) -> list[Record]:
    """Run what the file does not hold yet; return all results in the cells' order."""
    for cell in cells:
        if file.find(cell.describe()) is None:
            file.append(cell.describe(), measure_federated(cell.build_settings(data)))
    return [found for cell in cells if (found := file.find(cell.describe())) is not None]


def report(cells: Sequence[NoiseCell], results: Sequence[Record]) -> str:
    """Lay out accuracies, what became of the updates, and who is trusted in the end."""
    quiet = [result for cell, result in zip(cells, results, strict=True) if not cell.noise_step]
    noisy = [result for cell, result in zip(cells, results, strict=True) if cell.noise_step]
    lines = [("run", "test accuracy %", "accepted", "rejected")]
    for name, side in (("without noise", quiet), (f"noise step {NOISE_STEP:g}", noisy)):
        accuracy = estimate_mean([100 * result["accuracy"] for result in side])
        counts = [f"{statistics.fmean(sum(result[key]) for result in side):.1f}" for key in ("accepted", "rejected")]
        lines.append((name, str(accuracy), *counts))
    cost = estimate_mean([100 * (q["accuracy"] - n["accuracy"]) for q, n in zip(quiet, noisy, strict=True)])
    return "\n".join(
        [
            format_columns(lines),
            f"cost of the noise: {cost} points; {judge_bar(cost, BAR_POINTS)}",
            f"published demo, noise step {NOISE_STEP:g}, round {ROUNDS}: {PUBLISHED_ACCURACY} %",
            "",
            format_trainers(noisy),
        ]
    )


def format_trainers(noisy: Sequence[Record]) -> str:
    """One line per trainer of the noisy runs: noise, mean numbers of updates, mean final trust."""
    lines = [("trainer", "noise up to", "accepted", "rejected", "final trust %")]
    for index in range(len(noisy[0]["trust_shares"])):
        means = [statistics.fmean(result[key][index] for result in noisy) for key in ("accepted", "rejected")]
        trust = estimate_mean([100 * result["trust_shares"][index] for result in noisy])
        lines.append((str(index), f"{NOISE_STEP * index:.1f}", *(f"{mean:.1f}" for mean in means), str(trust)))
    return format_columns(lines)
