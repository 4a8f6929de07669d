"""Every node's data, cut out of the data set when it is needed, so that memory grows with the trainers at work."""

from __future__ import annotations

from flobc.composition.settings import RunSettings
from flobc.learning.shards import assign_indices, parse_scheme
from flobc.learning.task import DataSource, Examples, Task
from flobc.runtime.seeds import derive_seed


class LazyShards:
    """The shards that ``flobc run`` would deal out for these settings; ``test`` belongs to nobody on the chain."""

    def __init__(self, settings: RunSettings, task: Task) -> None:
        seed = settings.seed
        splits = task.load(DataSource(settings.data_directory, seed=derive_seed(seed, "data")))
        scheme = parse_scheme(settings.sharding)
        self._is_shared = scheme.name == "shared"
        self._train, self._validation = splits.train, splits.validation
        self._trainers = assign_indices(
            splits.train.labels, settings.trainers, scheme, derive_seed(seed, "train shards")
        )
        self._validators = assign_indices(
            splits.validation.labels, settings.validators, parse_scheme("iid"), derive_seed(seed, "validation shards")
        )
        self.test = splits.test

    def get_trainer(self, index: int) -> Examples:
        """Return a trainer's examples."""
        return self._train if self._is_shared else self._train[self._trainers[index]]

    def get_validator(self, index: int) -> Examples:
        """Return a validator's examples."""
        return self._validation[self._validators[index]]

    def count_trainer(self, index: int) -> int:
        """Return how many examples a trainer has."""
        return len(self._trainers[index])
