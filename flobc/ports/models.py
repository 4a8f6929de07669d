"""Port: models by digest."""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray


class ModelStore(Protocol):
    """Fixed-point models, int32[D], named by their Merkle root (AGG)."""

    def put(self, digest: bytes, model: NDArray[np.int32]) -> None:
        """Keep a model."""
        ...

    def get(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return the model with this digest, or None when it is not held."""
        ...

    def has(self, digest: bytes) -> bool:
        """Return whether a model is held, without reading it."""
        ...

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        ...
