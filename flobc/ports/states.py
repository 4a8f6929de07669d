"""Port: core states by digest, for who starts from a certified block instead of from the first record."""

from __future__ import annotations

from typing import Protocol

from flobc.errors import DataError
from flobc.protocol.consensus.state import compute_state_digest


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


def require_state(digest: bytes, state: bytes, place: object) -> None:
    """Check what was stored under a digest in ``place``. **Raises** DataError when it has another one."""
    if compute_state_digest(state) != digest:
        raise DataError(
            f"The state {digest.hex()} in {place} is damaged: it has another digest; fetch it from another ledger."
        )
