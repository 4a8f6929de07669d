"""Port: each validator's last seal, durable before it is published."""

from __future__ import annotations

from typing import Protocol

from flobc.protocol.messages import Seal


class SealStore(Protocol):
    """One seal per validator; a crash between save and publish must find it again (ROUND-15)."""

    def save(self, seal: Seal) -> None:
        """Make the seal durable; when this returns, a power cut does not lose it."""
        ...

    def load(self, validator: bytes) -> Seal | None:
        """Return the validator's last seal, or None before its first."""
        ...
