"""How trainers that are no members of the genesis ask to be admitted: alone, or by the operator's invitation."""

from __future__ import annotations

from flobc.composition.genesis import derive_identity
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Invitation, Join, countersigning_bytes, sign

_LAST_HEIGHT = 2**63
"""Invitations of a simulated operator do not expire."""


def derive_operator(seed: int) -> Identity:
    """Return the operator's key in a sandbox."""
    return derive_identity(seed, "operator", 0)


def build_join(chain: bytes, trainer: Identity, seed: int, invited: int | None) -> Join:
    """Return a trainer's unsigned request; ``invited`` is how many joins the one invitation is for, None without one.

    All joiners share the invitation, as do those who get hold of it.
    """
    if invited is None:
        return Join(chain, trainer.public_key, None)
    operator, secret = derive_operator(seed), derive_identity(seed, "invitation", 0)
    unsigned = Invitation(chain, operator.public_key, secret.public_key, invited, _LAST_HEIGHT)
    message = countersigning_bytes(chain, trainer.public_key, secret.public_key)
    return Join(chain, trainer.public_key, sign(unsigned, operator), secret.sign(message))
