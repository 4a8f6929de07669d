"""Which plans validators approve without a person looking at them (CHAIN-13)."""

from __future__ import annotations

import dataclasses

import pytest

from flobc.composition.automatic_succession import build_automatic_plan, sign_plan, validate_automatic
from flobc.errors import UsageError
from flobc.protocol.params import AdmissionParams, Genesis, get_chain_id
from tests.support.dialogue import OPERATOR, Chain, identities

NEW = tuple(one.public_key for one in identities("new validator", 3))
STRANGER = identities("stranger", 1)[0]


def build_parent(*, invites: bool) -> Genesis:
    genesis = Chain().genesis
    if not invites:
        return genesis
    admission = AdmissionParams(mode="invite", operator=OPERATOR.public_key)
    return dataclasses.replace(genesis, params=dataclasses.replace(genesis.params, admission=admission))


def test_exactly_the_keys_that_are_given_validate_next() -> None:
    parent = build_parent(invites=False)
    more = build_automatic_plan(parent, (*parent.validators, *NEW))
    assert more.validators == tuple(sorted((*parent.validators, *NEW)))
    fewer = build_automatic_plan(parent, parent.validators[1:])
    assert fewer.validators == parent.validators[1:]
    assert (fewer.params, fewer.admitted, fewer.removed) == (parent.params, (), ())


def test_what_the_operator_signed_is_approved_unseen_and_so_is_a_chain_s_without_one() -> None:
    parent = build_parent(invites=True)
    plan = build_automatic_plan(parent, (*parent.validators, *NEW))
    validate_automatic(parent, plan, sign_plan(plan, OPERATOR))
    alone = build_parent(invites=False)
    validate_automatic(alone, build_automatic_plan(alone, (*alone.validators, *NEW)), b"")


@pytest.mark.parametrize("signer", [None, STRANGER])
def test_invalid_a_plan_that_the_operator_did_not_sign(signer: object) -> None:
    parent = build_parent(invites=True)
    plan = build_automatic_plan(parent, (*parent.validators, *NEW))
    signature = b"" if signer is None else sign_plan(plan, STRANGER)
    with pytest.raises(UsageError, match="not signed by the chain's operator"):
        validate_automatic(parent, plan, signature)


def test_invalid_a_signature_of_another_plan() -> None:
    parent = build_parent(invites=True)
    plan = build_automatic_plan(parent, (*parent.validators, *NEW))
    other = build_automatic_plan(parent, (*parent.validators, NEW[0]))
    with pytest.raises(UsageError, match="not signed by the chain's operator"):
        validate_automatic(parent, plan, sign_plan(other, OPERATOR))


@pytest.mark.parametrize("change", ["admitted", "removed", "params"])
def test_invalid_a_plan_that_changes_more_than_validators(change: str) -> None:
    parent = build_parent(invites=True)
    plan = build_automatic_plan(parent, (*parent.validators, *NEW))
    trust = dataclasses.replace(parent.params.sync, period_ms=parent.params.sync.period_ms + 1)
    values = {
        "admitted": (STRANGER.public_key,),
        "removed": parent.trainers[:1],
        "params": dataclasses.replace(parent.params, sync=trust),
    }
    plan = dataclasses.replace(plan, **{change: values[change]})  # type: ignore[arg-type]
    assert plan.chain == get_chain_id(parent)
    with pytest.raises(UsageError, match="changes more than the validators"):
        validate_automatic(parent, plan, sign_plan(plan, OPERATOR))
