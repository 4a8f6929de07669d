"""Port: complete payloads of updates, by update id."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from typing import Protocol

from flobc.protocol.messages import UpdateHeader


@dataclass(frozen=True)
class Payload:
    """A signed header and the encoded chunks that its Merkle root vouches for."""

    header: UpdateHeader
    chunks: tuple[bytes, ...]
    leaf_hashes: tuple[bytes, ...] = field(default=(), compare=False, repr=False)
    """Of each chunk, from who has just computed them to sign their root; else empty."""


class PayloadStore(Protocol):
    """Payloads are immutable and named by content, so putting one twice is harmless."""

    def put(self, update: bytes, payload: Payload) -> None:
        """Keep a payload."""
        ...

    def get(self, update: bytes) -> Payload | None:
        """Return the payload of an update, or None when it is not held."""
        ...

    def list_headers(self) -> list[UpdateHeader]:
        """Return the headers of all payloads held, oldest base first."""
        ...

    def drop(self, updates: Collection[bytes]) -> None:
        """Forget these payloads, if held: nobody can recompute the models they made any more."""
        ...
