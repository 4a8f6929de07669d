"""Port: everything that somebody holds of one chain, to read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block
from flobc.protocol.params import Genesis


class ChainArchive(Protocol):
    """A chain at rest: genesis, log, blocks, and whichever payloads and models are still held.

    Nothing in it is believed; ``verify_chain`` finds out. All reading methods raise DataError when
    what is stored is damaged.
    """

    @property
    def name(self) -> str:
        """Where it lies, for messages."""
        ...

    @property
    def genesis(self) -> Genesis:
        """Block 0."""
        ...

    @property
    def height(self) -> int:
        """The height of the newest stored block; there may be gaps below it."""
        ...

    @property
    def torn_bytes(self) -> int:
        """How many bytes at the log's end make no whole record, known once ``records`` was read to its end."""
        ...

    def records(self) -> Iterator[bytes]:
        """Yield the log's records in order."""
        ...

    def block(self, height: int) -> Block | None:
        """Return the block stored for a height, or None."""
        ...

    def payload(self, update: bytes) -> Payload | None:
        """Return what is stored as an update's payload, or None."""
        ...

    def model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return what is stored as the model with this digest, or None.

        **Shapes**: (D,).
        """
        ...

    def state(self, digest: bytes) -> bytes | None:
        """Return what is stored as the encoded core state with this digest, or None."""
        ...

    def tests(self) -> dict[int, float]:
        """Return the test accuracy by height, as far as it was measured."""
        ...

    def close(self) -> None:
        """Let go of open files."""
        ...
