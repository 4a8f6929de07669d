"""Divides examples among parties, alike or not: the schemes of federated experiments.

=================  ============================================================================
``iid``            the same number of examples each, drawn at random
``dirichlet:0.5``  each label is divided by a Dirichlet draw; the smaller alpha, the less alike
``label:2``        each party holds only so many of the labels
``quantity:0.5``   alike in labels, but the sizes are a Dirichlet draw
=================  ============================================================================

**Source**: dirichlet: Hsu, Qi and Brown 2019; label: McMahan et al. 2017, section 3; quantity: Li et
al. 2022, section 4.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from flobc.errors import UsageError
from flobc.learning.suggest import suggest
from flobc.learning.task import Examples, Indices

_NAMES = ("iid", "shared", "dirichlet", "label", "quantity")
_PLAIN = ("iid", "shared")


@dataclass(frozen=True)
class ShardScheme:
    """A scheme and its parameter: alpha, or the number of labels per party; 0 where there is none."""

    name: str
    parameter: float = 0.0

    def __str__(self) -> str:
        return self.name if self.name in _PLAIN else f"{self.name}:{self.parameter:g}"


def parse_scheme(text: str) -> ShardScheme:
    """Read a scheme such as ``iid``, ``dirichlet:0.5``, ``label:2`` or ``quantity:0.5``.

    **Raises**: :class:`UsageError` for an unknown name or a parameter out of range.
    """
    name, colon, argument = text.partition(":")
    if name not in _NAMES:
        raise UsageError(f"There is no shard scheme {name!r}{suggest(name, _NAMES)} Use one of {', '.join(_NAMES)}.")
    if name in _PLAIN:
        if colon:
            raise UsageError(f"The shard scheme {name} takes no parameter, but got {argument!r}.")
        return ShardScheme(name)
    try:
        parameter = float(argument)
    except ValueError:
        parameter = -1.0
    whole = parameter == int(parameter) if np.isfinite(parameter) else False
    if not (np.isfinite(parameter) and parameter > 0 and (whole or name != "label")):
        kind = "a whole number of labels" if name == "label" else "a number above 0"
        raise UsageError(f"The shard scheme {name} needs {kind}, such as {name}:2, not {text!r}.")
    return ShardScheme(name, parameter)


def assign_indices(labels: npt.NDArray[Any], parties: int, scheme: ShardScheme, seed: int) -> list[Indices]:
    """Assign every example to exactly one party, or under ``shared`` to all of them; nobody goes without.

    **Raises**: :class:`UsageError` for fewer examples than parties, or too few places for all labels.
    """
    if parties < 1 or parties > len(labels):
        raise UsageError(f"Cannot divide {len(labels)} examples among {parties} parties; each needs at least one.")
    if scheme.name == "shared":
        return [np.arange(len(labels))] * parties
    rng = np.random.Generator(np.random.PCG64(seed))
    if scheme.name == "dirichlet":
        shards = _assign_dirichlet(labels, parties, scheme.parameter, rng)
    elif scheme.name == "label":
        shards = _assign_labels(labels, parties, int(scheme.parameter), rng)
    else:
        sizes = _draw_sizes(len(labels), parties, scheme, rng)
        shards = np.split(rng.permutation(len(labels)), np.cumsum(sizes)[:-1])
    _fill_empty(shards)
    return [np.sort(shard) for shard in shards]


def split_examples(examples: Examples, parties: int, scheme: ShardScheme, seed: int) -> list[Examples]:
    """Divide ``examples`` among ``parties``; see :func:`assign_indices`."""
    return [examples[indices] for indices in assign_indices(examples.labels, parties, scheme, seed)]


def _draw_sizes(count: int, parties: int, scheme: ShardScheme, rng: np.random.Generator) -> Indices:
    if scheme.name == "iid":
        return np.array([len(part) for part in np.array_split(np.arange(count), parties)])
    return 1 + _apportion(count - parties, _draw_shares(parties, scheme.parameter, rng))


def _draw_shares(parties: int, alpha: float, rng: np.random.Generator) -> npt.NDArray[np.float64]:
    """Draw from the symmetric Dirichlet distribution; a tiny alpha, where it underflows, gives one winner."""
    shares = rng.dirichlet(np.full(parties, alpha))
    if not np.isfinite(shares).all() or not np.isclose(shares.sum(), 1.0):
        shares = np.zeros(parties)
        shares[rng.integers(parties)] = 1.0
    return shares


def _apportion(count: int, shares: npt.NDArray[np.float64]) -> Indices:
    """Divide ``count`` by ``shares`` into whole numbers of exactly that sum, the largest remainders first."""
    exact = shares * count
    sizes = np.floor(exact).astype(np.int64)
    left = count - int(sizes.sum())
    sizes[np.argsort(sizes - exact, kind="stable")[:left]] += 1
    return sizes


def _assign_dirichlet(labels: npt.NDArray[Any], parties: int, alpha: float, rng: np.random.Generator) -> list[Indices]:
    pieces: list[list[Indices]] = [[] for _ in range(parties)]
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        sizes = _apportion(len(members), _draw_shares(parties, alpha, rng))
        for party, piece in enumerate(np.split(members, np.cumsum(sizes)[:-1])):
            pieces[party].append(piece)
    return [np.concatenate(piece) for piece in pieces]


def _assign_labels(labels: npt.NDArray[Any], parties: int, per_party: int, rng: np.random.Generator) -> list[Indices]:
    """Deal the labels round, so that a party's are distinct, and divide each among those that hold it."""
    classes = rng.permutation(np.unique(labels))
    places = parties * per_party
    if places < len(classes):
        needed = -(-len(classes) // parties)
        raise UsageError(
            f"label:{per_party} with {parties} parties has room for {places} of the {len(classes)} labels; "
            f"use label:{needed} or more parties."
        )
    holders = [np.arange(place, places, len(classes)) // per_party for place in range(len(classes))]
    shards: list[Indices] = [np.empty(0, dtype=np.int64) for _ in range(parties)]
    for label, parties_of_label in zip(classes, holders, strict=True):
        members = rng.permutation(np.flatnonzero(labels == label))
        owners = np.unique(parties_of_label)
        for party, piece in zip(owners, np.array_split(members, len(owners)), strict=True):
            shards[party] = np.concatenate([shards[party], piece])
    return shards


def _fill_empty(shards: list[Indices]) -> None:
    """Give each empty shard one example of the largest."""
    for party, shard in enumerate(shards):
        if len(shard) == 0:
            richest = max(range(len(shards)), key=lambda other: len(shards[other]))
            shards[party], shards[richest] = shards[richest][-1:], shards[richest][:-1]
