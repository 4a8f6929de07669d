"""What it costs in accuracy to learn without pooling the data: a federation beside one central trainer.

Both sides have the same model, initial values, optimizer, batch size, examples and number of passes
over them. The central side trains on the union of all shards in one call, so its optimizer keeps its
state; a federated trainer's optimizer starts afresh in each round. Each side gets the best of the same
learning rates, chosen on the validation split with a seed that is not measured: the test set decides
nothing. Accuracies in percent, differences in points, taken seed by seed.
"""

from __future__ import annotations

import dataclasses
import multiprocessing
import time
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from flobc.composition.genesis import build_federation, build_shards
from flobc.composition.presets import get_preset
from flobc.composition.settings import RunSettings
from flobc.learning.determinism import single_threaded
from flobc.learning.task import DataSource, Examples, Splits, TrainSettings
from flobc.learning.tasks import get_task
from flobc.learning.torch_task import TorchTask
from flobc.runtime.seeds import derive_seed
from tests.bench.study_cells import CellFile, Estimate, Record, estimate_mean, format_columns, judge_bar
from tests.bench.study_runs import compute_settings_digest, measure_federated

BAR_POINTS = 0.5
ROUNDS = 30
EPOCHS = 3
LEARNING_RATES = (0.0005, 0.001, 0.002)
TUNING_SEED = 0
CENTRAL_PROCESSES = 2

Side = Literal["federated", "centralised"]
SIDES: tuple[Side, ...] = ("centralised", "federated")


@dataclass(frozen=True)
class Cell:
    """One training; ``epochs`` are local ones per round, ``split`` is what the final model is measured on."""

    side: Side
    task: str
    rounds: int
    epochs: int
    learning_rate: float
    seed: int
    split: Literal["validation", "test"]

    def build_settings(self, data: Path | None) -> RunSettings:
        """The ``paper`` preset: seven trainers, three validators, bulk synchronous."""
        return dataclasses.replace(
            get_preset("paper"),
            task=self.task,
            rounds=self.rounds,
            seed=self.seed,
            sharding="iid",
            training={"epochs": self.epochs, "learning_rate": self.learning_rate},
            data_directory=data,
        )

    def describe(self) -> Record:
        """All that the result depends on, as JSON data."""
        settings = compute_settings_digest(self.build_settings(None))
        return {"study": "decentralised", "settings": settings, **asdict(self)}


@dataclass(frozen=True)
class Plan:
    """What to compare."""

    task: str
    rounds: int
    epochs: int
    learning_rates: tuple[float, ...]
    seeds: tuple[int, ...]

    def list_tuning_cells(self) -> list[Cell]:
        """Every learning rate on either side."""
        return [
            Cell(side, self.task, self.rounds, self.epochs, rate, TUNING_SEED, "validation")
            for side in SIDES
            for rate in self.learning_rates
        ]

    def list_cells(self, rates: dict[Side, float]) -> list[Cell]:
        """Every seed on either side, with its learning rate."""
        return [
            Cell(side, self.task, self.rounds, self.epochs, rates[side], seed, "test")
            for side in SIDES
            for seed in self.seeds
        ]


def get_split_task(cell: Cell) -> TorchTask:
    """The cell's task; while tuning, it passes the validation split off as the test set."""
    task = get_task(cell.task)
    if not isinstance(task, TorchTask):
        raise TypeError(f"the study needs one of the tasks made with torch, not {cell.task!r}")
    if cell.split == "test":
        return task

    def load(source: DataSource) -> Splits:
        splits = task.load(source)
        return Splits(splits.train, splits.validation, splits.validation)

    return dataclasses.replace(task, load_splits=load)


def count_steps(examples: int, settings: TrainSettings) -> int:
    """Optimizer steps of one training: a last batch of one example joins the batch before."""
    if settings.epochs is None:
        return settings.steps or 0
    batches = -(-examples // settings.batch_size)
    last = (examples - 1) % settings.batch_size + 1
    return settings.epochs * (batches - (batches > 1 and last == 1))


def measure_central(cell: Cell, data: Path | None) -> Record:
    """Train on the union of all shards from the federation's initial model, in one call."""
    started = time.monotonic()
    settings, task = cell.build_settings(data), get_split_task(cell)
    training = build_federation(settings, task).training
    training = dataclasses.replace(training, epochs=cell.rounds * cell.epochs)
    shards = build_shards(settings, task)
    examples = join_examples(shards.trainers)
    initial = task.initial_vector(derive_seed(cell.seed, "model"))
    trained = task.train(initial, examples, training, derive_seed(cell.seed, "central"))
    found = task.evaluate(trained.vector, shards.test)
    return {
        "accuracy": found.accuracy,
        "loss": found.loss,
        "steps": count_steps(len(examples), training),
        "seconds": round(time.monotonic() - started, 1),
    }


def join_examples(shards: Sequence[Examples]) -> Examples:
    return Examples(
        np.concatenate([shard.features for shard in shards]), np.concatenate([shard.labels for shard in shards])
    )


def measure_federation(cell: Cell, data: Path | None) -> Record:
    """Run the federation; ``steps`` are those of all trainers in all rounds."""
    settings, task = cell.build_settings(data), get_split_task(cell)
    training = build_federation(settings, task).training
    steps = sum(count_steps(len(shard), training) for shard in build_shards(settings, task).trainers)
    return {**measure_federated(settings, task), "steps": cell.rounds * steps}


def measure(cells: Sequence[Cell], file: CellFile, data: Path | None) -> list[Record]:
    """Run what the file does not hold yet; return all results in the cells' order.

    Central trainings run two at a time in processes of their own with one torch thread each; a
    federation uses all cores itself.
    """
    missing = [cell for cell in cells if file.find(cell.describe()) is None]
    for cell, result in measure_centrals([cell for cell in missing if cell.side == "centralised"], data):
        file.append(cell.describe(), result)
    for cell in missing:
        if cell.side == "federated":
            file.append(cell.describe(), measure_federation(cell, data))
    return [found for cell in cells if (found := file.find(cell.describe())) is not None]


def measure_centrals(cells: Sequence[Cell], data: Path | None) -> Iterable[tuple[Cell, Record]]:
    if not cells:
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(CENTRAL_PROCESSES, mp_context=context, initializer=single_threaded) as pool:
        futures = {pool.submit(measure_central, cell, data): cell for cell in cells}
        for future in as_completed(futures):
            yield futures[future], future.result()


def choose_rates(cells: Sequence[Cell], results: Sequence[Record]) -> dict[Side, float]:
    """The learning rate with the best validation accuracy on each side; equals are told apart by the loss."""
    best: dict[Side, tuple[float, float, float]] = {}
    for cell, result in zip(cells, results, strict=True):
        rank = (result["accuracy"], -result["loss"], cell.learning_rate)
        best[cell.side] = max(best.get(cell.side, rank), rank)
    return {side: rank[2] for side, rank in best.items()}


def report_tuning(cells: Sequence[Cell], results: Sequence[Record]) -> str:
    """Lay out every learning rate tried; ``*`` marks the chosen ones."""
    rates = choose_rates(cells, results)
    lines = [("tuning", "learning rate", "validation accuracy %", "loss", "chosen")]
    for cell, result in zip(cells, results, strict=True):
        chosen = "*" if rates[cell.side] == cell.learning_rate else ""
        figures = (f"{cell.learning_rate:g}", f"{100 * result['accuracy']:.2f}", f"{result['loss']:.4f}", chosen)
        lines.append((cell.side, *figures))
    return format_columns(lines)


def report(cells: Sequence[Cell], results: Sequence[Record]) -> str:
    """Lay out both sides' test accuracy and the gap between them."""
    lines = [("side", "learning rate", "gradient steps", "test accuracy %", "test loss")]
    accuracies: dict[Side, list[float]] = {side: [] for side in SIDES}
    for side in SIDES:
        pairs = [(cell, result) for cell, result in zip(cells, results, strict=True) if cell.side == side]
        accuracies[side] = [100 * result["accuracy"] for _, result in pairs]
        loss = estimate_mean([result["loss"] for _, result in pairs])
        cell, result = pairs[0]
        accuracy = estimate_mean(accuracies[side])
        lines.append((side, f"{cell.learning_rate:g}", str(result["steps"]), str(accuracy), f"{loss.mean:.3f}"))
    gap = estimate_gap(accuracies)
    return f"{format_columns(lines)}\ngap, centralised - federated: {gap} points; {judge_bar(gap, BAR_POINTS)}"


def estimate_gap(accuracies: dict[Side, list[float]]) -> Estimate:
    pairs = zip(accuracies["centralised"], accuracies["federated"], strict=True)
    return estimate_mean([central - federated for central, federated in pairs])
