"""One cell's simulation, and the record of what it found: plain data that depend on scenario and version alone."""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np

from flobc import __version__
from flobc.composition.embedded import build_attacks
from flobc.composition.genesis import Federation
from flobc.composition.reports import RoundReport, SilentObserver
from flobc.composition.stores import Stores
from flobc.composition.verification import verify_chain
from flobc.errors import FlobcError
from flobc.learning.attacks import Backdoor
from flobc.learning.layout import build_grid
from flobc.learning.task import Examples, Task, TrainSettings
from flobc.learning.tasks import get_task
from flobc.protocol.messages import Seal, decode_record
from flobc.protocol.params import Genesis, get_quorum
from flobc.runtime.seeds import derive_seed
from flobc.simulation.archive import StoresArchive
from flobc.simulation.experiments.measures import Record
from flobc.simulation.loading import World, read_world
from flobc.simulation.results import Results, RoundRow, TrainerRow
from flobc.simulation.shards import LazyShards
from flobc.simulation.simulate import build_federation, build_results, open_stores
from flobc.simulation.world import Basis, SimulatedWorld

MOST_NAMED = 100
"""Trainers beyond so many have no rows of their own in a record."""
MOST_FOLLOWED = 20
"""Trainers beyond so many have no trust by round in a record."""
_DIGITS = 6
_ROUND_NAMES = tuple(item.name for item in dataclasses.fields(RoundRow) if item.name != "head")
_TRAINER_NAMES = ("examples", "training_ms", "trust_share", "weight_share", "accepted", "rejected", "attack")


class TrustWatcher(SilentObserver):
    """Remembers each trainer's trust after each round."""

    def __init__(self) -> None:
        self.shares: dict[int, list[float]] = defaultdict(list)

    def on_round(self, report: RoundReport) -> None:
        """Take note of a round."""
        for trainer in report.trainers[: MOST_FOLLOWED + 1]:
            self.shares[trainer.index].append(round(trainer.trust_share, _DIGITS))


def measure(text: str, centralised: str | None, data_directory: Path | None) -> Record:
    """Carry out a cell and return its record.

    **Raises** UsageError for what cannot be, DataError when data is missing, VerificationError when the chain does
    not hold.
    """
    world = read_world("cell.yaml", text, data_directory=data_directory)
    task = get_task(world.settings.task)
    if centralised is not None:
        return measure_central(world, task, keeps=centralised == "kept")
    return measure_world(world, task)


def measure_world(world: World, task: Task) -> Record:
    """Let a world go on to its end, or to where its chain stops, which is a result like any other."""
    federation, shards, watcher = build_federation(world, task), LazyShards(world.settings, task), TrustWatcher()
    with open_stores(None, world, federation) as stores:
        simulated = SimulatedWorld(world, Basis(federation, shards, stores, watcher, workers=1))
        stopped = ""
        try:
            simulated.run(world.settings.rounds)
        except FlobcError as error:
            if type(error) is not FlobcError:
                raise
            stopped = str(error)
        finally:
            simulated.close()
        verify_chain(StoresArchive(federation.genesis, stores), full=False)
        results = build_results(world, simulated, shards)
        return {
            **_describe(results, watcher),
            "status": describe_end(world, simulated.clock.now_ms) if stopped else "finished",
            "reason": stopped,
            "backdoor": measure_backdoor(world, federation, stores, simulated.state.head.header.model, shards.test),
            "forks": count_forks(federation.genesis, stores),
            "evidence": len(simulated.state.core.convicted),
        }


def describe_end(world: World, now_ms: int) -> str:
    """Return whether a world ended because its time was over, or because nothing was left that could go on."""
    return "time over" if now_ms >= world.scenario.run.time_limit else "stopped"


def _describe(results: Results, watcher: TrustWatcher) -> Record:
    trainers = results.trainers if len(results.trainers) <= MOST_NAMED else ()
    followed = len(results.trainers) <= MOST_FOLLOWED
    return {
        "version": __version__,
        "head": results.head,
        "height": results.height,
        "virtual_ms": results.virtual_ms,
        "network_bytes": results.network_bytes,
        "rounds": {name: [_get_value(row, name) for row in results.rounds] for name in _ROUND_NAMES},
        "trainers": {name: [_get_value(row, name) for row in trainers] for name in _TRAINER_NAMES},
        "trust": [shares for _, shares in sorted(watcher.shares.items())] if followed else [],
    }


def _get_value(row: RoundRow | TrainerRow, name: str) -> Any:
    value = getattr(row, name)
    return round(value, _DIGITS) if isinstance(value, float) else value


def measure_backdoor(
    world: World, federation: Federation, stores: Stores, model: bytes, test: Examples
) -> float | None:
    """Return how many marked examples of the test set the last model takes for the target; None without a backdoor."""
    attack = next((item for item in build_attacks(world.settings).values() if isinstance(item, Backdoor)), None)
    grid = stores.models.get(model)
    if attack is None or grid is None:
        return None
    vector = build_grid(federation.genesis.model).to_float(grid)
    return round(federation.task.evaluate(vector, attack.build_probe(test)).accuracy, _DIGITS)


def count_forks(genesis: Genesis, stores: Stores) -> int:
    """Return at how many heights two headers have a quorum's seals in the log."""
    sealers: dict[tuple[int, bytes], set[bytes]] = defaultdict(set)
    for data in stores.log.read():
        record = decode_record(data)
        if isinstance(record, Seal) and record.validator in genesis.validators:
            sealers[record.height, record.header].add(record.validator)
    quorum = get_quorum(len(genesis.validators))
    certified = [height for (height, _), keys in sealers.items() if len(keys) >= quorum]
    return len(certified) - len(set(certified))


def measure_central(world: World, task: Task, *, keeps: bool) -> Record:
    """Train one model on all shards together, as often over them as the federation's trainers, and test it."""
    settings = world.settings
    federation, shards = build_federation(world, task), LazyShards(settings, task)
    alike = settings.sharding == "shared"
    examples = join_examples([shards.get_trainer(index) for index in range(1 if alike else settings.trainers)])
    vector, tests = task.initial_vector(derive_seed(settings.seed, "model")), []
    training, calls = build_central_training(federation.training, settings.trainers), settings.rounds
    if keeps:
        training, calls = lengthen(training, calls), 1
    for call in range(calls):
        vector = task.train(vector, examples, training, derive_seed(settings.seed, "central", call)).vector
        tests.append(task.evaluate(vector, shards.test))
    heights = [settings.rounds] if keeps else list(range(1, settings.rounds + 1))
    return {
        "version": __version__,
        "status": "finished",
        "reason": "",
        "head": "",
        "height": settings.rounds,
        "virtual_ms": 0,
        "rounds": {
            "height": heights,
            "virtual_ms": [0] * len(tests),
            "test_accuracy": [round(test.accuracy, _DIGITS) for test in tests],
            "test_loss": [round(test.loss, _DIGITS) for test in tests],
        },
        "trainers": {name: [] for name in _TRAINER_NAMES},
        "trust": [],
    }


def build_central_training(training: TrainSettings, trainers: int) -> TrainSettings:
    """Return what is as much work as all trainers do: so many passes over all shards, or everybody's batches."""
    return dataclasses.replace(training, steps=None if training.steps is None else training.steps * trainers)


def lengthen(training: TrainSettings, calls: int) -> TrainSettings:
    """Return what is as much work as so many trainings."""
    return dataclasses.replace(
        training,
        epochs=None if training.epochs is None else training.epochs * calls,
        steps=None if training.steps is None else training.steps * calls,
    )


def join_examples(shards: list[Examples]) -> Examples:
    """Return all examples of all shards."""
    return Examples(
        np.concatenate([shard.features for shard in shards]), np.concatenate([shard.labels for shard in shards])
    )
