"""The arrays that every aggregation benchmark works on, ours and the peer's alike.

One seed gives one set of arrays, so two programs in two environments time the same numbers without a
file between them. numpy only, because both environments import it.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

CLIENTS = 64
PARAMETERS = 1_200_000
ROUND_CLIENTS = 10
SEED = 20_211_287
WEIGHT_STD = 0.05
UPDATE_STD = 1e-3
TRIM_SHARE = 0.2  # cut at each end; the peer's default
BYZANTINE = 12  # krum: below a fifth of the clients
_ROLL_STRIDE = 7_919  # a prime, so that no two clients of a round share a perturbation

# A model is several tensors; the sizes only have to add up to PARAMETERS.
LAYER_SHARES = (0.5, 0.25, 0.15, 0.1)


def build_weights(parameters: int = PARAMETERS, seed: int = SEED) -> NDArray[np.float32]:
    """Draw the common model: float32 ``(parameters,)``, normal with standard deviation 0.05."""
    generator = np.random.default_rng([seed, 0])
    return generator.standard_normal(parameters, dtype=np.float32) * np.float32(WEIGHT_STD)


def build_updates(clients: int = CLIENTS, parameters: int = PARAMETERS, seed: int = SEED) -> NDArray[np.float32]:
    """Draw one update per client: float32 ``(clients, parameters)``, normal with deviation 1e-3."""
    updates = np.empty((clients, parameters), dtype=np.float32)
    for client in range(clients):
        generator = np.random.default_rng([seed, 1, client])
        generator.standard_normal(dtype=np.float32, out=updates[client])
    updates *= np.float32(UPDATE_STD)
    return updates


def build_num_examples(clients: int = CLIENTS) -> list[int]:
    """Give every client another number of examples, so that no side may skip the weighting."""
    return [100 + client for client in range(clients)]


def build_perturbation(client: int, parameters: int = PARAMETERS) -> NDArray[np.float32]:
    """Stand in for training: the update of ``client``, float32 ``(parameters,)``, about 1 ms.

    The same noise shifted by another amount per client: as incompressible as a real update and
    almost free, so that the round is timed and not the training.
    """
    return np.roll(_noise(parameters), client * _ROLL_STRIDE)


def split_layers(flat: NDArray[np.float32]) -> list[NDArray[np.float32]]:
    """Cut one flat vector into the model's layers, as views."""
    edges = (np.cumsum(LAYER_SHARES)[:-1] * flat.size).astype(int)
    return np.split(flat, edges)


@lru_cache(maxsize=1)
def _noise(parameters: int) -> NDArray[np.float32]:
    return build_updates(clients=1, parameters=parameters)[0]
