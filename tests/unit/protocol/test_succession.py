"""Succession in dialogues of real keys: what is approved, from where a successor starts, what it carries over."""

from dataclasses import replace

import pytest

from flobc.errors import UsageError, VerificationError
from flobc.protocol.chain.block import compute_header_digest
from flobc.protocol.consensus.starts import find_starts
from flobc.protocol.consensus.state import build_initial_state, decode_state
from flobc.protocol.consensus.succession import (
    allows,
    build_successor,
    get_plan,
    is_proved,
    validate_plan,
    validate_successor,
)
from flobc.protocol.encoding import compute_digest, decode, encode
from flobc.protocol.messages import Seal, sign
from flobc.protocol.params import Genesis, get_chain_id
from flobc.protocol.roles.light_client import LightClient
from flobc.protocol.trust.params import INITIAL_TRUST, TRUST_ONE
from flobc.protocol.trust.state import Reference, TrustEntry, TrustState
from tests.support.dialogue import Chain, build_params, digest, identities, identity
from tests.support.succession import (
    NEW_VALIDATORS,
    approve,
    approve_all,
    build_plan,
    build_seal,
    get_last_seal,
    succeed,
)


def play(rounds: int = 2, **params: object) -> Chain:
    """A chain of some rounds in which the first trainer does better than the others."""
    chain = Chain(params=build_params("bsp", **params))
    for _ in range(rounds):
        for trainer, score in enumerate((300_000, 0, 0)):
            chain.votes(chain.update(trainer), *[score] * 3)
        chain.commit()
    return chain


def build_locked(chain: Chain) -> bytes:
    """Close and lock one more round; the header's model."""
    chain.close_round()
    model = digest("model", "locked")
    for validator in range(3):
        chain.ready(validator, model)
    return model


def build(chain: Chain, plan: object, approvals: object) -> Genesis:
    return build_successor(chain.genesis, plan, find_starts(chain.genesis, chain.log), approvals)


def test_a_successor_goes_on_from_the_certified_head():
    """CHAIN-16: its block 0 has the parent's model and names the parent's header."""
    chain = play()
    child = succeed(chain)
    state = build_initial_state(child)
    assert child.parent.header == chain.state.head.header
    assert state.head.header.parent == chain.state.head_digest
    assert state.head.header.model == chain.state.head.header.model
    assert (state.height, child.validators) == (0, NEW_VALIDATORS)
    assert decode(Genesis, encode(child)) == child
    validate_successor(chain.genesis, child)


def test_a_successors_light_client_needs_its_genesis_alone():
    """CHAIN-16: block 1 is checked against the new validators."""
    new = Chain()
    new.genesis = succeed(play())
    new.state = build_initial_state(new.genesis)
    new.validators = identities("new validator", 4)
    block = new.play_round()
    client = LightClient(new.genesis)
    client.accept(block.header, block.certificate)
    assert client.head.height == 1


def test_trust_and_registry_are_carried_over():
    """CHAIN-17."""
    chain = play(3)
    old, core = chain.state.core, build_initial_state(succeed(chain)).core
    values = {key: entry.trust for key, entry in core.trust.entries.items()}
    assert values == {key: entry.trust for key, entry in old.trust.entries.items()}
    assert chain.trust(0) == max(values.values()) > min(values.values())
    assert core.trainers.keys() == old.trainers.keys()
    assert (core.height, core.position, core.pending, core.known) == (0, 0, {}, {})
    assert core.initial_loss == old.initial_loss
    assert core.norm_bounds == {0: old.norm_bounds[3]}
    shifted = [(item.base_height + 3, item.median) for item in core.trust.references]
    assert shifted == [(item.base_height, item.median) for item in old.trust.references]


def test_credit_goes_on_as_it_would_have_on_the_old_chain():
    """CHAIN-17: the same scores move trust to the same values, references included."""
    chain = play(2)
    new = Chain()
    new.genesis = succeed(chain, validators=chain.genesis.validators)
    new.state = build_initial_state(new.genesis)
    for one in (chain, new):
        for _ in range(2):
            for trainer, score in enumerate((100_000, 0, 200_000)):
                one.votes(one.update(trainer), *[score] * 3)
            one.commit()
    assert [new.trust(index) for index in range(3)] == [chain.trust(index) for index in range(3)]


@pytest.mark.parametrize("policy", ["none", "flobc"])
def test_shares_keep_their_proportions(policy):
    """CHAIN-17, TRUST-4: a removed trainer's share falls to the others, a newcomer gets its own."""
    chain = play(policy=policy)
    newcomer = identity("newcomer").public_key
    removed = chain.trainers[2].public_key
    core = build_initial_state(succeed(chain, admitted=(newcomer,), removed=(removed,))).core
    trust = {key: entry.trust for key, entry in core.trust.entries.items()}
    assert sum(trust.values()) == TRUST_ONE
    assert trust.keys() == core.trainers.keys() == {newcomer, *(one.public_key for one in chain.trainers[:2])}
    first, second = (chain.trainers[index].public_key for index in range(2))
    assert trust[first] * chain.trust(1) == pytest.approx(trust[second] * chain.trust(0), rel=1e-6)


def test_another_policy_starts_everybody_equal():
    """CHAIN-17: the units differ."""
    chain = play()
    core = build_initial_state(succeed(chain, params=build_params("bsp", policy="flobc"))).core
    assert {entry.trust for entry in core.trust.entries.values()} <= {TRUST_ONE // 3, TRUST_ONE // 3 + 1}


def test_newcomers_are_on_probation_and_the_floor_binds():
    """CHAIN-17, TRUST-11."""
    chain = play()
    newcomer = identity("newcomer").public_key
    params = build_params("bsp", floor=INITIAL_TRUST)
    core = build_initial_state(succeed(chain, admitted=(newcomer,), params=params)).core
    assert core.trust.entries[newcomer].probation == params.trust.probation_rounds
    assert all(entry.trust >= INITIAL_TRUST for entry in core.trust.entries.values())


def test_late_joins_cannot_spoil_an_approved_plan():
    """CHAIN-13: who does not fit under max_trainers stays behind, the last to come first."""
    chain = Chain(params=build_params("bsp", mode="open", max_trainers=9))
    plan = build_plan(chain.genesis, params=build_params("bsp", mode="open", max_trainers=4))
    validate_plan(chain.genesis, plan, find_starts(chain.genesis, chain.log)[0])
    chain.play_round()
    late = [identity("late", index) for index in range(3)]
    for one in late:
        chain.join(one)
    chain.play_round(0, 1, 2)
    child = build(chain, plan, approve_all(chain, plan))
    assert len(child.trainers) == 4
    assert set(chain.genesis.trainers) < set(child.trainers)
    mode = build_initial_state(child).core.trainers
    assert [mode[key].by_genesis for key in child.trainers if key not in chain.genesis.trainers] == [False]


def test_a_sealed_block_is_not_left_behind():
    """CHAIN-15: one honest seal may be part of a certificate, so the successor starts from that header."""
    chain = play()
    chain.seal(0, build_locked(chain))
    plan = build_plan(chain.genesis)
    child = build(chain, plan, approve_all(chain, plan, 0, 1, 2))
    assert child.parent.header == chain.state.closed.build_header(digest("model", "locked"))
    assert (len(child.parent.readys), child.parent.seals) == (3, ())
    assert child.initial_model == digest("model", "locked")
    validate_successor(chain.genesis, child)


def test_who_has_not_the_log_cannot_start_below_a_seal():
    """CHAIN-15: with the head alone the approver's seal is not covered."""
    chain = play()
    chain.seal(0, build_locked(chain))
    plan = build_plan(chain.genesis)
    head = find_starts(chain.genesis, chain.log)[:1]
    with pytest.raises(UsageError, match="seals up to block 3"):
        build_successor(chain.genesis, plan, head, approve_all(chain, plan, 0, 1, 2))
    assert build_successor(chain.genesis, plan, head, approve_all(chain, plan, 1, 2, 3)).parent.header.height == 2


def test_a_liars_seal_of_no_block_is_left_out():
    """CHAIN-15: nobody but liars speaks of it, so the honest quorum goes on."""
    chain = play()
    liar, plan = chain.validators[3], build_plan(chain.genesis)
    for height in (2, 3, 2**63):
        invented = build_seal(plan.chain, liar, replace(chain.state.head.header, height=height, step=9))
        approvals = [*approve_all(chain, plan, 0, 1, 2), approve(plan, liar, invented)]
        assert build(chain, plan, approvals).parent.header == chain.state.head.header


def test_a_chain_without_a_block_has_a_successor():
    """CHAIN-15: its block 0 needs no proof."""
    chain = Chain()
    child = succeed(chain)
    assert child.parent.header == chain.state.head.header
    validate_successor(chain.genesis, child)


def test_a_successor_has_a_successor():
    """CHAIN-16: from its own block 0, with the approvals of its own validators."""
    chain = Chain()
    child = succeed(chain)
    new = Chain()
    new.genesis, new.validators = child, identities("new validator", 4)
    new.state = build_initial_state(child)
    grandchild = succeed(new, validators=chain.genesis.validators)
    validate_successor(child, grandchild)
    with pytest.raises(VerificationError, match="names chain"):
        validate_successor(chain.genesis, grandchild)


def test_the_order_of_approvals_and_starts_plays_no_part():
    """CHAIN-16: everybody gets the same bytes."""
    chain = play()
    plan = build_plan(chain.genesis)
    starts, approvals = find_starts(chain.genesis, chain.log), approve_all(chain, plan)
    first = build_successor(chain.genesis, plan, starts, approvals)
    assert build_successor(chain.genesis, plan, starts[::-1] * 2, approvals[::-1] * 2) == first


@pytest.mark.parametrize("kind", ["too few", "one twice", "another plan", "a stranger", "another's seal", "forged"])
def test_invalid_approvals_do_not_count(kind):
    """CHAIN-14."""
    chain = play()
    plan = build_plan(chain.genesis)
    two, third = approve_all(chain, plan, 0, 1), chain.validators[2]
    wrong = {
        "too few": two[:1],
        "one twice": two[:1],
        "another plan": [approve(build_plan(chain.genesis, removed=(digest("x"),)), third, None)],
        "a stranger": [approve(plan, identity("stranger"), None)],
        "another's seal": [approve(plan, third, get_last_seal(chain, 0))],
        "forged": [replace(approve(plan, third, None), signature=two[0].signature)],
    }[kind]
    with pytest.raises(UsageError, match=r"by 3 of the 4 validators, but there are 2"):
        build(chain, plan, [*two, *wrong])


@pytest.mark.parametrize(
    "changes",
    [
        {"validators": ()},
        {"validators": NEW_VALIDATORS[::-1]},
        {"admitted": NEW_VALIDATORS[:1]},
        {"admitted": (digest("b"), digest("a"))},
        {"admitted": (identity("x").public_key,), "removed": (identity("x").public_key,)},
        {"chain": bytes(32)},
        {"version": 2},
        {"params": build_params("bsp", period_ms=0)},
    ],
    ids=str,
)
def test_invalid_plans(changes):
    """CHAIN-13, CHAIN-2, CHAIN-4: nobody approves what no chain could live with."""
    chain = play(1)
    with pytest.raises(UsageError):
        validate_plan(chain.genesis, build_plan(chain.genesis, **changes), find_starts(chain.genesis, chain.log)[0])


def forge_link(child: Genesis, **changes: object) -> Genesis:
    return replace(child, parent=replace(child.parent, **changes))


def test_invalid_successors():
    """CHAIN-14 to CHAIN-16: whatever is changed in a successor's genesis, somebody with the parent's sees it."""
    chain = play()
    child = succeed(chain)
    link = child.parent
    seals = link.seals
    liar = sign(Seal(seals[0].chain, seals[0].validator, 2, digest("other")), chain.validators[0])
    for rule, forged in (
        ("CHAIN-16", replace(child, parent=None)),
        ("CHAIN-14", replace(child, validators=NEW_VALIDATORS[1:])),
        ("CHAIN-14", replace(child, params=build_params("bsp", policy="none"))),
        ("CHAIN-16", replace(child, trainers=child.trainers[1:])),
        ("CHAIN-16", replace(child, initial_model=digest("other"))),
        ("CHAIN-16", replace(child, name="other")),
        ("CHAIN-16", replace(child, salt=digest("other"))),
        ("CHAIN-16", forge_link(child, state=link.state + b"x")),
        ("CHAIN-16", forge_link(child, params=build_params("bsp", policy="none"))),
        ("CHAIN-15", forge_link(child, header=replace(link.header, model=digest("other")))),
        ("CHAIN-15", forge_link(child, seals=seals[1:])),
        ("CHAIN-15", forge_link(child, seals=seals[::-1])),
        ("CHAIN-15", forge_link(child, seals=(liar, *seals[1:]))),
        ("CHAIN-15", forge_link(child, seals=())),
        ("CHAIN-15", forge_link(child, approvals=link.approvals[:2])),
        ("CHAIN-14", forge_link(child, approvals=link.approvals[::-1])),
        ("CHAIN-14", forge_link(child, removed=(child.trainers[0],))),
    ):
        with pytest.raises(VerificationError) as caught:
            validate_successor(chain.genesis, forged)
        assert caught.value.rule == rule, str(caught.value)


def test_a_genesis_whose_state_is_not_its_parents_is_refused():
    """CHAIN-16, CHAIN-17: by everybody, with or without the parent at hand."""
    child = succeed(play())
    with pytest.raises(UsageError, match="another state"):
        build_initial_state(forge_link(child, state=encode(build_initial_state(succeed(Chain())).core)))
    with pytest.raises(UsageError, match="another model"):
        build_initial_state(replace(child, initial_model=digest("other")))


@pytest.mark.parametrize(
    "changes",
    [
        {"norm_bounds": {}},
        {"height": 2**64 - 1},
        {"trust": TrustState()},
        {"trust": TrustState({digest("x"): TrustEntry(-(2**63), -(2**63), 0)}, (Reference(-(2**63), 0, 0),))},
        {"trainers": {}},
    ],
    ids=lambda changes: next(iter(changes)),
)
@pytest.mark.parametrize("policy", ["none", "flobc", "flobc_plus"])
def test_invalid_states_of_a_strangers_genesis_do_no_harm(changes, policy):
    """CHAIN-16, CHAIN-17: before its approvals are checked it is read, whatever it holds."""
    child = succeed(play(policy=policy))
    link = child.parent
    core = replace(decode_state(link.state, link.header.state), **changes)
    header = replace(link.header, state=compute_digest(core))
    state = build_initial_state(forge_link(child, state=encode(core), header=header))
    assert state.core.trainers.keys() == state.core.trust.entries.keys() == set(child.trainers)


def test_who_is_convicted_stays_convicted():
    """CHAIN-17: a muted validator that goes on has no votes on the successor either."""
    chain = play(1)
    chain.close_round()
    seals = [chain.build_seal(3, digest("lie", index)) for index in range(2)]
    chain.send(chain.evidence(*seals))
    chain.commit()
    chain.play_round()
    liar = chain.validators[3].public_key
    assert build_initial_state(succeed(chain, validators=chain.genesis.validators)).core.muted == (liar,)
    assert build_initial_state(succeed(chain)).core.muted == ()


def test_the_plan_can_be_read_back():
    """CHAIN-13, CHAIN-16."""
    chain = play()
    plan = build_plan(chain.genesis, removed=(chain.trainers[0].public_key,))
    assert get_plan(build(chain, plan, approve_all(chain, plan))) == plan
    with pytest.raises(UsageError, match="names no parent"):
        get_plan(chain.genesis)


def test_a_start_without_its_state_is_not_taken():
    """CHAIN-15: what proves a header is a quorum's word on it; the state is known by its digest."""
    chain = play()
    (start,) = find_starts(chain.genesis, chain.log)
    assert is_proved(chain.genesis, start)
    assert decode_state(start.state, start.header.state).height == 2
    assert compute_header_digest(start.header) == chain.state.head_digest
    assert not is_proved(chain.genesis, replace(start, readys=(start.seals[0],)))
    other = build_seal(get_chain_id(chain.genesis), chain.validators[3], replace(start.header, step=7))
    plan = build_plan(chain.genesis)
    assert allows(approve(plan, chain.validators[3], other), start)
    assert not allows(approve(plan, chain.validators[3], other), replace(start, seals=()))
