"""Port: core states by digest, for who starts from a certified block instead of from the first record."""

from __future__ import annotations

from typing import Protocol


class StateStore(Protocol):
    """Encoded core states, named by the SHA-256 that a block's header commits to (CHAIN-8)."""

    def put(self, digest: bytes, state: bytes) -> None:
        """Keep an encoded state; putting it twice is harmless."""
        ...

    def get(self, digest: bytes) -> bytes | None:
        """Return the encoded state with this digest, or None when it is not held.

        **Raises** DataError when what is stored has another digest.
        """
        ...
