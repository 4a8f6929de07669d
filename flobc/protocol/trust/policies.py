"""The one door to trust: admit a trainer, credit a closed round, read the trust that weighs updates.

**Source**: spec/TRUST.md.
"""

from __future__ import annotations

from collections.abc import Sequence

from flobc.errors import LocalProtocolError
from flobc.protocol.trust.params import TrustParams
from flobc.protocol.trust.plus import admit_member, carry_members, credit_members, limit_probation, start_members
from flobc.protocol.trust.shares import admit_scaled, admit_uniform, carry_shares, credit_shares, start_uniform
from flobc.protocol.trust.state import Scored, TrustState


def admit(params: TrustParams, state: TrustState, trainer: bytes, height: int) -> TrustState:
    """The state with one more trainer, admitted at ``height``.

    **Raises** LocalProtocolError (TRUST-2) if the trainer is already admitted.
    """
    if trainer in state.entries:
        raise LocalProtocolError("TRUST-2", "a trainer that is not admitted yet", trainer.hex())
    if params.policy == "flobc_plus":
        return admit_member(params, state, trainer, height)
    if params.policy == "none":
        return admit_uniform(state, trainer, height)
    return admit_scaled(state, trainer, height)


def admit_genesis(params: TrustParams, trainers: Sequence[bytes]) -> TrustState:
    """The state of a new chain: all genesis members start equal."""
    if params.policy == "flobc_plus":
        return start_members(trainers)
    return start_uniform(trainers)


def carry(
    params: TrustParams, old: TrustParams, state: TrustState, trainers: Sequence[bytes], height: int
) -> TrustState:
    """The state of a successor that starts from the parent's ``height`` with these trainers (CHAIN-17).

    Under the same policy those that the parent knew keep their trust, and others enter as newcomers do.
    Another policy counts in other units, so then all start equal, as they do when nobody is left.
    """
    known = [trainer for trainer in trainers if trainer in state.entries]
    if params.policy != old.policy or not known:
        return admit_genesis(params, trainers)
    if params.policy == "flobc_plus":
        carried = carry_members(params, state, known, height)
    else:
        carried = carry_shares(state, known)
    for trainer in sorted(set(trainers).difference(known)):
        carried = admit(params, carried, trainer, 0)
    return carried


def credit(params: TrustParams, state: TrustState, results: Sequence[Scored], height: int) -> TrustState:
    """The state after the round that closed at ``height`` with these decided updates.

    ``flobc`` credits every update in the given order; ``flobc_plus`` one per trainer, in any order.

    **Raises** LocalProtocolError (TRUST-3) if a result's trainer is not admitted.
    """
    _require_admitted(state, [result.trainer for result in results])
    if params.policy == "flobc_plus":
        return credit_members(params, state, results, height)
    if params.policy == "flobc":
        return credit_shares(state, results)
    return state


def effective_trust(params: TrustParams, state: TrustState, trainers: Sequence[bytes]) -> dict[bytes, int]:
    """The trust that enters the weights, for ``trainers`` = the active ones and this round's submitters.

    **Raises** LocalProtocolError (TRUST-3) if one of them is not admitted.
    """
    _require_admitted(state, trainers)
    if params.policy == "flobc_plus":
        return limit_probation(params, state, trainers)
    return {trainer: state.entries[trainer].trust for trainer in sorted(trainers)}


def compute_trust_shares(params: TrustParams, state: TrustState) -> dict[bytes, float]:
    """Each trainer's share of all trust, as if all submitted: for people to read; consensus never uses it."""
    trust = effective_trust(params, state, tuple(state.entries))
    total = sum(trust.values()) or 1
    return {trainer: value / total for trainer, value in trust.items()}


def _require_admitted(state: TrustState, trainers: Sequence[bytes]) -> None:
    for trainer in trainers:
        if trainer not in state.entries:
            raise LocalProtocolError("TRUST-3", "an admitted trainer", trainer.hex())
