"""Divides a labelled data set so that every part has the same mix of labels."""

from __future__ import annotations

import numpy as np

from flobc.errors import DataError
from flobc.learning.task import Examples, Splits

# A constant, so that the parts of a shipped data set are the same everywhere and for every seed.
SPLIT_SEED = 20_211_222


def split_stratified(examples: Examples, sizes: tuple[int, ...], seed: int = SPLIT_SEED) -> list[Examples]:
    """Divide ``examples`` into parts of exactly ``sizes``, whose sum is the number of examples.

    Each label is spread evenly over one shuffled line, which is then cut.
    """
    if sum(sizes) != len(examples):
        raise DataError(f"The parts {sizes} need {sum(sizes)} examples, but the data set has {len(examples)}.")
    rng = np.random.Generator(np.random.PCG64(seed))
    order = rng.permutation(len(examples))
    labels = examples.labels[order]
    place = np.empty(len(examples), dtype=np.float64)
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        place[members] = (np.arange(len(members)) + rng.random()) / len(members)
    # Cutting a line on which every label is evenly spaced gives each part its share of each label.
    spread = order[np.argsort(place, kind="stable")]
    parts = np.split(spread, np.cumsum(sizes)[:-1])
    return [examples[rng.permutation(part)] for part in parts]


def split_three_ways(examples: Examples, validation: int, test: int) -> Splits:
    """Divide ``examples`` into train, validation and test, the latter two of exactly these sizes."""
    sizes = (len(examples) - validation - test, validation, test)
    return Splits(*split_stratified(examples, sizes))
