"""A succession of validators alone, which every validator of one operator may approve without a person looking at it.

What makes it safe to approve unseen is that the plan changes nothing but who validates, and that the chain's operator,
where it has one, signed the plan. Any other plan wants a person who reads it.
"""

from __future__ import annotations

from collections.abc import Iterable

from flobc.composition.succession import Changes, build_plan
from flobc.errors import UsageError
from flobc.protocol.encoding import compute_digest
from flobc.protocol.identity import Identity, verify_signature
from flobc.protocol.params import Genesis, Plan

_CONTEXT = b"flobc/automatic-succession/"
"""Before the plan's digest in what the operator signs, so that no other signature of that key can be taken for it."""


def build_automatic_plan(parent: Genesis, validators: Iterable[bytes]) -> Plan:
    """Return the plan by which exactly these keys validate the successor, and nothing else changes.

    **Raises** UsageError when no chain could live with it.
    """
    wanted, present = set(validators), set(parent.validators)
    changes = Changes(add_validators=tuple(sorted(wanted - present)), remove_validators=tuple(sorted(present - wanted)))
    return build_plan(parent, changes, parent.params)


def sign_plan(plan: Plan, operator: Identity) -> bytes:
    """Return the operator's signature of a plan."""
    return operator.sign(_CONTEXT + compute_digest(plan))


def validate_automatic(parent: Genesis, plan: Plan, signature: bytes) -> None:
    """Check that a plan may be approved unseen. **Raises** UsageError, for then a person must look at it."""
    if plan != build_automatic_plan(parent, plan.validators):
        raise UsageError(
            "The plan changes more than the validators, so nobody approves it unseen; look at it and approve it with: "
            "flobc succession approve"
        )
    operator = parent.params.admission.operator
    if operator is not None and not verify_signature(operator, _CONTEXT + compute_digest(plan), signature):
        raise UsageError(
            "The plan is not signed by the chain's operator, so nobody approves it unseen; let the operator's key "
            "make it, or approve it with: flobc succession approve"
        )
