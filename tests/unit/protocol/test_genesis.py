"""Which genesis a chain can live with."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.errors import UsageError
from flobc.numerics.codecs import CODEC_NAMES
from flobc.numerics.rules import RULE_NAMES
from flobc.protocol.consensus.machine import MAX_RECORD_BYTES
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import compute_digest
from flobc.protocol.messages import BaseReport, VoteBatch, compute_update_id
from flobc.protocol.params import (
    CODECS,
    MAX_VOTES_PER_BATCH,
    RULES,
    ModelSpec,
    get_chain_id,
    get_fault_tolerance,
    get_quorum,
    validate_genesis,
)
from flobc.protocol.roles.validator import build_score_vote
from flobc.protocol.sync.params import SyncParams
from tests.support.dialogue import OPERATOR, Chain, build_genesis, build_params, identities

GENESIS = build_genesis()
SMALL_ORDER_KEY = bytes(32)


def test_the_chain_id_is_the_genesis_digest_and_block_0_stands_for_it():
    """CHAIN-1."""
    state = build_initial_state(GENESIS)
    assert state.chain == get_chain_id(GENESIS) == compute_digest(GENESIS)
    assert (state.height, state.head.header.chain, state.head.certificate) == (0, state.chain, ())
    assert state.head.header.model == GENESIS.initial_model
    assert state.head.header.state == compute_digest(state.core)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": "other"},
        {"salt": b"s" * 32},
        {"initial_model": b"m" * 32},
        {"params": build_params(period_ms=1)},
        {"trainers": GENESIS.trainers[1:]},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_another_genesis_is_another_chain(changes):
    """CHAIN-1: nodes with different params can never be on one chain."""
    assert get_chain_id(replace(GENESIS, **changes)) != get_chain_id(GENESIS)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"validators": ()}, "at least one validator"),
        ({"validators": GENESIS.validators[::-1]}, "distinct keys in ascending order"),
        ({"trainers": GENESIS.trainers[:1] * 2}, "distinct keys in ascending order"),
        ({"trainers": GENESIS.validators[:1]}, "both validator and trainer"),
        ({"validators": (SMALL_ORDER_KEY,)}, "curve point of prime order"),
        ({"trainers": (b"short",)}, "32 bytes, found 5 bytes"),
    ],
    ids=["nobody", "unsorted", "double", "two_roles", "small_order", "short"],
)
def test_invalid_members(changes, sentence):
    """CHAIN-2, WIRE-13."""
    with pytest.raises(UsageError, match=sentence):
        validate_genesis(replace(GENESIS, **changes))


def test_invalid_admission():
    """CHAIN-3."""
    invite = build_genesis(params=build_params(mode="invite"))
    validate_genesis(invite)
    admission = invite.params.admission
    for changed, sentence in (
        (replace(admission, operator=None), "operator's key"),
        (replace(admission, operator=SMALL_ORDER_KEY), "curve point of prime order"),
        (replace(admission, max_trainers=2), "names 3 trainers"),
    ):
        with pytest.raises(UsageError, match=sentence):
            validate_genesis(replace(invite, params=replace(invite.params, admission=changed)))
    with pytest.raises(UsageError, match="admit nobody"):
        validate_genesis(replace(GENESIS, trainers=()))
    validate_genesis(build_genesis(trainers=0, params=build_params(mode="open")))
    assert admission.operator == OPERATOR.public_key


@pytest.mark.parametrize(
    "changes",
    [
        {"score_step": 0},
        {"score_step": 2_000_000},
        {"accept_tolerance": 1_000_001},
        {"loss_floor": 0},
        {"metric": "f1"},
        {"mode": "closed"},
        {"max_votes_per_batch": 0},
        {"max_trainers": 0},
        {"max_votes_per_batch": 513},
        {"max_joins_per_block": -1},
        {"trim_ppm": 500_000},
        {"rule": "mean"},
        {"codec": "gzip"},
        {"probe_shift": 31},
        {"selected": -1},
        {"norm_cap": 2**64},
        {"byzantine_ppm": -1},
        {"norm_factor_ppm": 2**32},
        {"score_step": True},
        {"period_ms": 0},
        {"floor": 0},
        {"max_share_ppm": 0},
    ],
    ids=lambda changes: "_".join(map(str, *changes.items())),
)
def test_invalid_params(changes):
    """CHAIN-4, SYNC-1, TRUST-1, AGG-W1: a chain never starts with params that would stop it later."""
    with pytest.raises(UsageError):
        validate_genesis(build_genesis(params=build_params(**changes)))


def test_invalid_min_updates_that_no_round_can_reach():
    """CHAIN-4: three trainers, one update each."""
    params = replace(build_params(), sync=SyncParams("bsp", min_updates=4))
    with pytest.raises(UsageError, match="No round would ever close"):
        validate_genesis(build_genesis(trainers=3, params=params))
    validate_genesis(build_genesis(trainers=4, params=params))


def test_invalid_version_and_model():
    """CHAIN-4."""
    with pytest.raises(UsageError, match="protocol version 2"):
        validate_genesis(replace(GENESIS, version=2))
    with pytest.raises(UsageError, match="no coordinates"):
        validate_genesis(replace(GENESIS, model=ModelSpec((), 0, 1)))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"size": 5}, "tensors have 4 coordinates, not the 5 it counts"),
        ({"fraction_bits": 31}, "fraction_bits of 'w'"),
        ({"lo": 1}, "the lower one first"),
        ({"shape": (2**32 - 1, 2), "size": 2**33 - 2, "chunk_size": 1}, "use larger chunks"),
        ({"shape": (2**32 - 1,) * 500}, "500 dimensions, above 16"),
    ],
    ids=["size", "fraction_bits", "bounds", "chunks", "rank"],
)
def test_invalid_model_spec(changes, sentence):
    """CHAIN-4, AGG-1: such a model could be neither computed nor sent."""
    (tensor,), model = GENESIS.model.tensors, GENESIS.model
    own = {name: value for name, value in changes.items() if hasattr(tensor, name)}
    rest = {name: value for name, value in changes.items() if name not in own}
    with pytest.raises(UsageError, match=sentence):
        validate_genesis(replace(GENESIS, model=replace(model, tensors=(replace(tensor, **own),), **rest)))


def test_every_rule_and_codec_that_a_genesis_may_name_exists():
    """CHAIN-4."""
    assert RULES == RULE_NAMES
    assert CODECS == CODEC_NAMES
    for name in RULES:
        validate_genesis(build_genesis(params=build_params(rule=name)))
    for name in CODECS:
        validate_genesis(build_genesis(params=build_params(codec=name)))


def test_the_largest_batch_fits_a_record():
    """CHAIN-4, WIRE-11: else no full batch would ever be taken, and the chain would stop."""
    chain = Chain(trainers=MAX_VOTES_PER_BATCH, params=build_params(max_votes_per_batch=MAX_VOTES_PER_BATCH))
    headers = tuple(chain.update(trainer) for trainer in range(MAX_VOTES_PER_BATCH))
    votes = tuple(build_score_vote(compute_update_id(header), 0, 2**32 - 1) for header in headers)
    report = BaseReport(0, 10**6, 0)
    batch = VoteBatch(chain.state.chain, chain.validators[0].public_key, report, headers, votes)
    assert len(chain.say(batch, chain.validators[0])) < MAX_RECORD_BYTES
    assert len(chain.state.core.pending) == MAX_VOTES_PER_BATCH


@given(st.integers(1, 10_000))
def test_two_quorums_share_an_honest_validator(validators):
    """CHAIN-5: with fewer than a third of liars, even if all other validators are in both quorums."""
    quorum, liars = get_quorum(validators), (validators - 1) // 3
    assert 2 * quorum - validators > liars
    assert validators - liars >= quorum
    assert get_fault_tolerance(validators) == liars


def test_quorums_of_small_chains():
    """CHAIN-5: below four validators no fault is tolerated."""
    assert [get_quorum(n) for n in range(1, 8)] == [1, 2, 3, 3, 4, 5, 5]
    assert [get_fault_tolerance(n) for n in range(1, 8)] == [0, 0, 0, 1, 1, 1, 2]


def test_members_of_the_genesis_are_trainers_with_trust():
    """CHAIN-1, TRUST-10."""
    core = build_initial_state(GENESIS).core
    keys = [one.public_key for one in identities("trainer", 3)]
    assert list(core.trainers) == list(core.trust.entries) == keys
