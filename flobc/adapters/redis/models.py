"""Models in chunks, as the Merkle root that names them sees them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.redis.client import RedisClient
from flobc.adapters.redis.paged import PagedValues
from flobc.errors import DataError
from flobc.learning.model_digest import compute_model_digest


class RedisModels:
    """Each chunk of ``chunk_size`` coordinates (the genesis' own) is one key: little-endian int32.

    Several replicas may write at once. One that lags and calls ``keep_only`` forgets what others put
    meanwhile; they find out by ``get`` and put it again. Every method raises TransientError.
    """

    def __init__(self, client: RedisClient, chunk_size: int) -> None:
        self._address = client.address
        self._chunk_size = chunk_size
        self._values = PagedValues(client, "model", 4 * chunk_size)

    def put(self, digest: bytes, model: NDArray[np.int32]) -> None:
        """Keep a model; readers see it when its last chunk is there. **Shapes**: (D,)."""
        self._values.put(digest.hex(), np.ascontiguousarray(model, dtype="<i4").data.cast("B"))

    def get(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model, or None. **Shapes**: (D,). **Raises** DataError when its chunks are not what it is named."""
        data = self._values.get(digest.hex())
        if data is None:
            return None
        if len(data) % 4 == 0:
            model = np.frombuffer(data, dtype="<i4").astype(np.int32, copy=False)
            if compute_model_digest(model, self._chunk_size) == digest:
                return model
        raise DataError(
            f"The model {digest.hex()} in Redis at {self._address} is damaged: its chunks have another Merkle root; "
            "fetch it from another ledger or a validator."
        )

    def has(self, digest: bytes) -> bool:
        """Return whether all chunks of a model were put, without reading them."""
        return self._values.has(digest.hex())

    def read_chunk(self, digest: bytes, index: int) -> bytes | None:
        """Return one chunk as it stands, or None when model or chunk are not held; whoever has all checks the root."""
        return self._values.get_piece(digest.hex(), index)

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these, and every chunk that a crashed writer left of others."""
        self._values.keep_only(frozenset(digest.hex() for digest in digests))
