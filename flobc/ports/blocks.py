"""Port: the ledger's certified blocks."""

from __future__ import annotations

from typing import Protocol

from flobc.protocol.chain.block import Block


class BlockStore(Protocol):
    """Certified blocks by height, from 1; appending is a compare-and-set on the head."""

    def append(self, block: Block) -> bool:
        """Add the next block; False when the store's head is not its parent (somebody else was first)."""
        ...

    def get(self, height: int) -> Block | None:
        """Return the block at a height, or None."""
        ...

    @property
    def height(self) -> int:
        """The newest block's height; 0 when only the genesis is there."""
        ...
