"""Makes the genesis, the keys and the shards of an embedded run, all from its seed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.composition.settings import RunSettings, build_train_settings, encode_train_settings
from flobc.learning.layout import build_grid, build_model_spec
from flobc.learning.model_digest import compute_model_digest
from flobc.learning.shards import parse_scheme, split_examples
from flobc.learning.task import DataSource, Examples, Splits, Task, TrainSettings
from flobc.protocol.identity import Identity
from flobc.protocol.params import PROTOCOL_VERSION, Genesis
from flobc.runtime.seeds import derive_seed


@dataclass(frozen=True)
class Federation:
    """Everything that an embedded run's nodes are made of."""

    task: Task
    training: TrainSettings
    genesis: Genesis
    initial_model: NDArray[np.int32]
    trainers: tuple[Identity, ...]
    validators: tuple[Identity, ...]


@dataclass(frozen=True)
class Shards:
    """Who learns and scores on what; ``test`` belongs to nobody on the chain."""

    trainers: tuple[Examples, ...]
    validators: tuple[Examples, ...]
    test: Examples


@dataclass(frozen=True)
class ShardPlace:
    """Which share of which data a node of its own process gets; it deals out all and keeps its own."""

    index: int
    shards: int
    sharding: str
    seed: int
    data_directory: Path | None


def derive_identity(seed: int, role: str, index: int) -> Identity:
    """Return the key pair of a node in a sandbox. Whoever knows the seed knows it: never for real parties."""
    return Identity.from_seed(hashlib.sha256(f"flobc/1/sandbox/{seed}/{role}/{index}".encode()).digest())


def derive_identities(settings: RunSettings) -> tuple[tuple[Identity, ...], tuple[Identity, ...]]:
    """Return the trainers' and the validators' keys of a sandbox, all from its seed."""
    trainers = tuple(derive_identity(settings.seed, "trainer", index) for index in range(settings.trainers))
    validators = tuple(derive_identity(settings.seed, "validator", index) for index in range(settings.validators))
    return trainers, validators


def build_federation(
    settings: RunSettings, task: Task, keys: tuple[tuple[Identity, ...], tuple[Identity, ...]] | None = None
) -> Federation:
    """Return keys, genesis and initial model; ``keys`` are the trainers' and the validators', a sandbox's unless given.

    **Raises** UsageError for params no chain can live with.
    """
    trainers, validators = keys or derive_identities(settings)
    genesis, initial = build_genesis(
        settings, task, [key.public_key for key in trainers], [key.public_key for key in validators]
    )
    training = build_train_settings(task.default_settings, settings.training)
    return Federation(task, training, genesis, initial, trainers, validators)


def build_genesis(
    settings: RunSettings, task: Task, trainers: Iterable[bytes], validators: Iterable[bytes]
) -> tuple[Genesis, NDArray[np.int32]]:
    """Return block 0 for these public keys, and the first model. **Raises** UsageError for settings none can train by.

    **Shapes**: (D,).
    """
    training = build_train_settings(task.default_settings, settings.training)
    spec = build_model_spec(task.model_info(), settings.chunk_size)
    initial = build_grid(spec).quantise_model(task.initial_vector(derive_seed(settings.seed, "model")))
    genesis = Genesis(
        version=PROTOCOL_VERSION,
        name=task.name,
        task=settings.task,
        training=encode_train_settings(training),
        salt=hashlib.sha256(f"flobc/1/run/{settings.seed}".encode()).digest(),
        model=spec,
        initial_model=compute_model_digest(initial, settings.chunk_size),
        validators=tuple(sorted(validators)),
        trainers=tuple(sorted(trainers)),
        params=settings.params,
    )
    return genesis, initial


def load_training_shards(task: Task, place: ShardPlace, count: int) -> list[Examples]:
    """Return the shares of ``count`` trainers, those of ``place`` and the next ones, as an embedded run deals them.

    After the last share comes the first one again.
    """
    splits = _load_splits(task, place.data_directory, place.seed)
    dealt = _deal_training(splits, place.shards, place.sharding, place.seed)
    return [dealt[index % place.shards] for index in range(place.index, place.index + count)]


def load_validation_shard(task: Task, place: ShardPlace) -> Examples:
    """Return one validator's share of the validation data, the same that an embedded run would deal it."""
    splits = _load_splits(task, place.data_directory, place.seed)
    return _deal_validation(splits, place.shards, place.seed)[place.index]


def build_shards(settings: RunSettings, task: Task) -> Shards:
    """Load the data set and deal it out: training data by the sharding scheme, validation data evenly.

    **Raises** DataError when the data is not there or too little for so many nodes.
    """
    splits = _load_splits(task, settings.data_directory, settings.seed)
    trainers = _deal_training(splits, settings.trainers, settings.sharding, settings.seed)
    validators = _deal_validation(splits, settings.validators, settings.seed)
    return Shards(tuple(trainers), tuple(validators), splits.test)


def _load_splits(task: Task, directory: Path | None, seed: int) -> Splits:
    return task.load(DataSource(directory, seed=derive_seed(seed, "data")))


def _deal_training(splits: Splits, shards: int, sharding: str, seed: int) -> list[Examples]:
    return split_examples(splits.train, shards, parse_scheme(sharding), derive_seed(seed, "train shards"))


def _deal_validation(splits: Splits, shards: int, seed: int) -> list[Examples]:
    return split_examples(splits.validation, shards, parse_scheme("iid"), derive_seed(seed, "validation shards"))
