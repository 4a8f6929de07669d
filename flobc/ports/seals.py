"""Port: each validator's last seal and its approvals, durable before they are published."""

from __future__ import annotations

from typing import Protocol

from flobc.errors import LocalProtocolError, UsageError
from flobc.protocol.messages import Approve, Seal


class SealStore(Protocol):
    """One seal per validator, one approval per validator and chain (ROUND-15, CHAIN-14).

    Saving a seal and saving an approval exclude each other, whichever processes do it: after an
    approval there is no seal that it does not know of.
    """

    def save(self, seal: Seal) -> None:
        """Make the seal durable; when this returns, a power cut does not lose it.

        **Raises** LocalProtocolError when the validator has approved a successor of the seal's chain, or has made
        another seal of this height or a seal of a higher one: then somebody else runs on the same key and directory.
        """
        ...

    def load(self, validator: bytes) -> Seal | None:
        """Return the validator's last seal, or None before its first."""
        ...

    def save_approve(self, approve: Approve) -> None:
        """Make the approval durable; from here on the store takes no seal of its chain. Saving it again is harmless.

        **Raises** UsageError when it does not name the last seal, or another plan was approved before.
        """
        ...

    def load_approve(self, chain: bytes, validator: bytes) -> Approve | None:
        """Return the validator's approval of a successor of ``chain``, or None."""
        ...


def require_sealing(seal: Seal, approve: Approve | None, last: Seal | None) -> None:
    """Check that a validator with this approval and this last seal may make a seal (CHAIN-14, ROUND-15).

    **Raises** LocalProtocolError.
    """
    if last is not None and last.chain == seal.chain and last.height >= seal.height and last.header != seal.header:
        found = f"another one at {seal.height} after one at {last.height}"
        raise LocalProtocolError("ROUND-15", "one seal per height, in ascending order", found)
    if approve is not None:
        raise LocalProtocolError("CHAIN-14", "no seal after the approval of a successor", f"one at {seal.height}")


def require_approving(approve: Approve, sealed: Seal | None, before: Approve | None) -> None:
    """Check an approval against the last seal and the approval that were stored before (CHAIN-14).

    **Raises** UsageError.
    """
    if before is not None and before.plan != approve.plan:
        raise UsageError(
            f"This validator approved plan {before.plan.hex()[:12]} before, and approves one for ever; "
            "approve that one, or leave this validator out."
        )
    last = sealed if sealed is not None and sealed.chain == approve.chain else None
    if approve.sealed != last:
        height = "none" if last is None else f"block {last.height}"
        raise UsageError(f"The validator's last seal is {height}, not the one in the approval; approve again.")
