"""Successions of the dialogue's chains: plans, approvals, and seals that no log ever saw."""

from __future__ import annotations

import dataclasses
from typing import Any

from flobc.protocol.chain.block import Header, compute_header_digest
from flobc.protocol.consensus.starts import find_starts
from flobc.protocol.consensus.succession import build_approve, build_successor
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Approve, Seal, sign
from flobc.protocol.params import Genesis, Plan, get_chain_id
from tests.support.dialogue import Chain, identities

NEW_VALIDATORS = tuple(one.public_key for one in identities("new validator", 4))


def build_plan(genesis: Genesis, **changes: Any) -> Plan:
    """New validators, and all else as it was."""
    plan = Plan(get_chain_id(genesis), genesis.version, NEW_VALIDATORS, (), (), genesis.params)
    return dataclasses.replace(plan, **changes)


def build_seal(chain: bytes, who: Identity, header: Header) -> Seal:
    return sign(Seal(chain, who.public_key, header.height, compute_header_digest(header)), who)


def approve(plan: Plan, who: Identity, sealed: Seal | None) -> Approve:
    return sign(build_approve(plan, who.public_key, sealed), who)


def get_last_seal(chain: Chain, index: int) -> Seal | None:
    """What a validator sealed last, as the chain's own log has it: every seal of a dialogue is in it."""
    key = chain.validators[index].public_key
    certificate = chain.state.head.certificate
    waiting = chain.state.closed.seals.get(key) if chain.state.closed is not None else None
    return waiting or next((seal for seal in certificate if seal.validator == key), None)


def approve_all(chain: Chain, plan: Plan, *indices: int) -> list[Approve]:
    """These validators' honest approvals (default: everybody's)."""
    return [
        approve(plan, chain.validators[index], get_last_seal(chain, index))
        for index in indices or range(len(chain.validators))
    ]


def succeed(chain: Chain, **changes: Any) -> Genesis:
    """The genesis of the successor that all of a dialogue's validators approve."""
    plan = build_plan(chain.genesis, **changes)
    return build_successor(chain.genesis, plan, find_starts(chain.genesis, chain.log), approve_all(chain, plan))
