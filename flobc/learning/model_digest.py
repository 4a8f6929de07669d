"""The digest that names a model: apart from ``layout``, for whoever stores models and never computes with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flobc.numerics.parallel import for_each
from flobc.protocol.merkle import leaf_hash, root_of_hashes


def compute_model_digest(model: NDArray[np.int32], chunk_size: int) -> bytes:
    """Return the model's Merkle root over its chunks as little-endian int32 bytes (AGG).

    **Shapes**: model (D,), int32.
    """
    data = np.ascontiguousarray(model, dtype="<i4").data.cast("B")
    width = 4 * chunk_size
    return root_of_hashes(for_each(range(0, len(data), width), lambda start: leaf_hash(data[start : start + width])))
