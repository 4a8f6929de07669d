"""Ports: what one process asks another one for. Nothing that comes back is believed; callers check it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block


class LedgerPeer(Protocol):
    """A ledger replica. Every method raises TransientError while the replica cannot be reached."""

    def get_head(self) -> Block | None:
        """Return the newest certified block with an empty body, or None while there is only the genesis."""
        ...

    def get_block(self, height: int) -> Block | None:
        """Return the block at a height, body included, or None."""
        ...

    def follow(self, height: int) -> Iterator[Block]:
        """Yield each certified block from ``height`` on, bodies empty, and wait for the next; ends never by itself."""
        ...

    def distrust(self) -> None:
        """What came last did not hold: ask another replica first from now on, where there is one."""
        ...

    def get_state(self, digest: bytes) -> bytes | None:
        """Return the encoded core state with this digest, or None."""
        ...

    def get_model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return the model with this digest, which is checked, or None. **Shapes**: (D,)."""
        ...

    def close(self) -> None:
        """Let go of connections; a ``follow`` under way ends."""
        ...


class BlobPeer(Protocol):
    """A validator that serves what it holds by digest. Every method raises TransientError while it is away."""

    def get_model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return the model with this digest, which is checked, or None. **Shapes**: (D,)."""
        ...

    def get_payload(self, update: bytes) -> Payload | None:
        """Return the payload of an update, which is checked against its header's root, or None."""
        ...

    def close(self) -> None:
        """Let go of connections."""
        ...
