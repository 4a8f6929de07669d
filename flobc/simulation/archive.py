"""Open stores as an archive, so that what a run in them left is verified like any other chain."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flobc.composition.stores import Stores
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block
from flobc.protocol.params import Genesis


class StoresArchive:
    """A ``ChainArchive`` over stores that are still open."""

    name = "stores that are open"
    torn_bytes = 0

    def __init__(self, genesis: Genesis, stores: Stores) -> None:
        self.genesis = genesis
        self._stores = stores

    @property
    def height(self) -> int:
        """The newest block's height."""
        return self._stores.blocks.height

    def records(self) -> Iterator[bytes]:
        """Yield the log's records in order."""
        return self._stores.log.read()

    def block(self, height: int) -> Block | None:
        """Return the block at a height, or None."""
        return self._stores.blocks.get(height)

    def payload(self, update: bytes) -> Payload | None:
        """Return a payload, or None."""
        return self._stores.payloads.get(update)

    def model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model, or None."""
        return self._stores.models.get(digest)

    def state(self, digest: bytes) -> bytes | None:
        """Return None: states are folded from the log."""
        del digest
        return None

    def tests(self) -> dict[int, float]:
        """Return no tests: the results have them."""
        return {}

    def close(self) -> None:
        """Leave the stores to whoever opened them."""
