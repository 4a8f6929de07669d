import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from flobc.protocol.trust.params import INITIAL_TRUST, TRUST_ONE, TrustParams
from flobc.protocol.trust.policies import admit, admit_genesis, credit, effective_trust
from flobc.protocol.trust.shares import compute_shares
from flobc.protocol.trust.state import Scored
from tests.support.trust_world import KINDS, key_of, play

TRAINERS = tuple(bytes([i]) * 32 for i in range(8))

plus_params = st.builds(
    TrustParams,
    rate_ppm=st.integers(0, 5_000_000),
    decay_ppm=st.integers(0, 1_000_000),
    floor=st.integers(1, INITIAL_TRUST),
    cap=st.integers(INITIAL_TRUST, 5 * INITIAL_TRUST),
    credit_cap=st.integers(0, 1_000_000),
    fault_penalty_ppm=st.integers(0, 1_000_000),
    probation_rounds=st.integers(0, 4),
    probation_share_ppm=st.integers(1, 999_999),
    reference_window=st.integers(1, 5),
)
share_params = st.sampled_from([TrustParams(policy="none"), TrustParams(policy="flobc")])


@st.composite
def results_of(draw, trainers, height):
    fault = draw(st.booleans())
    accepted = not fault and draw(st.booleans())
    staleness = draw(st.integers(0, min(height, 6)))
    return Scored(
        trainer=draw(st.sampled_from(trainers)),
        base_height=height - staleness,
        score=-1_000_000 if fault else draw(st.integers(-1_000_000, 1_000_000)),
        discount=65536 // (1 + staleness),
        fault=fault,
        accepted=accepted,
        used=accepted and draw(st.booleans()),
    )


@st.composite
def histories(draw, params):
    """Parameters and the states of a chain with some genesis members, joins and rounds."""
    chosen = draw(params)
    members = draw(st.integers(1, 4))
    state = admit_genesis(chosen, TRAINERS[:members])
    states = [state]
    for height in range(draw(st.integers(0, 8))):
        if len(state.entries) < len(TRAINERS) and draw(st.booleans()):
            state = admit(chosen, state, TRAINERS[len(state.entries)], height)
            states.append(state)
        results = draw(st.lists(results_of(tuple(state.entries), height), max_size=10))
        state = credit(chosen, state, results, height)
        states.append(state)
    return chosen, states


@given(histories(share_params))
def test_shares_always_sum_to_exactly_one(history):
    """TRUST-4, TRUST-5, TRUST-6, TRUST-8."""
    for state in history[1]:
        trust = [entry.trust for entry in state.entries.values()]
        assert sum(trust) == TRUST_ONE
        assert min(trust) >= 0


@given(histories(plus_params))
def test_plus_stays_between_floor_and_cap(history):
    """TRUST-4, TRUST-16: and the entries stay in order of keys."""
    params, states = history
    for state in states:
        assert all(params.floor <= entry.trust <= params.cap for entry in state.entries.values())
        assert list(state.entries) == sorted(state.entries)


@given(histories(plus_params))
def test_plus_joining_moves_nobody(history):
    """TRUST-11."""
    params, states = history
    newcomer = b"\xff" * 32
    state = admit(params, states[-1], newcomer, 99)
    entries = dict(state.entries)
    assert entries.pop(newcomer).trust == params.floor
    assert entries == states[-1].entries
    assert state.references == states[-1].references


@given(st.data())
def test_plus_results_count_in_any_order(data):
    """TRUST-12."""
    params, states = data.draw(histories(plus_params))
    results = data.draw(st.lists(results_of(tuple(states[-1].entries), 9), max_size=12))
    shuffled = data.draw(st.permutations(results))
    assert credit(params, states[-1], results, 9) == credit(params, states[-1], shuffled, 9)


@given(st.data())
def test_crediting_leaves_the_given_state_alone(data):
    params, states = data.draw(histories(st.one_of(plus_params, share_params)))
    before = dict(states[-1].entries)
    credit(params, states[-1], data.draw(st.lists(results_of(tuple(before), 9))), 9)
    assert states[-1].entries == before


@given(st.data())
def test_plus_only_faults_and_losses_lower_trust(data):
    """TRUST-16, TRUST-17: lateness and silence cost nothing to anybody at or below the initial trust."""
    params, states = data.draw(histories(plus_params))
    results = data.draw(st.lists(results_of(tuple(states[-1].entries), 9)))
    after = credit(params, states[-1], results, 9)
    took_part = {result.trainer for result in results if result.fault or result.used or not result.accepted}
    for trainer, entry in states[-1].entries.items():
        if trainer not in took_part and entry.trust <= INITIAL_TRUST:
            assert after.entries[trainer].trust >= entry.trust
            assert after.entries[trainer].probation == entry.probation


@given(st.data())
def test_plus_probation_never_rises(data):
    """TRUST-18."""
    params, states = data.draw(histories(plus_params))
    after = credit(params, states[-1], data.draw(st.lists(results_of(tuple(states[-1].entries), 9))), 9)
    for trainer, entry in states[-1].entries.items():
        if entry.probation:
            assert after.entries[trainer].trust <= entry.trust


@given(st.data())
def test_plus_probation_share_holds(data):
    """TRUST-19: exact in integers, established trust untouched, never zero everywhere (TRUST-4)."""
    params, states = data.draw(histories(plus_params))
    entries = states[-1].entries
    trainers = data.draw(st.lists(st.sampled_from(list(entries)), min_size=1, unique=True))
    trust = effective_trust(params, states[-1], trainers)
    assert list(trust) == sorted(trainers)
    established = [trainer for trainer in trust if not entries[trainer].probation]
    assert all(trust[trainer] == entries[trainer].trust for trainer in established)
    assert any(trust.values())
    if established:
        probation = sum(trust.values()) - sum(trust[trainer] for trainer in established)
        assert probation * 1_000_000 <= params.probation_share_ppm * sum(trust.values())
    else:
        assert trust == {trainer: entries[trainer].trust for trainer in trust}


@given(
    st.dictionaries(st.binary(max_size=3), st.integers(0, 2**40), min_size=1).filter(lambda parts: any(parts.values())),
    st.integers(0, 2**40),
)
def test_largest_remainder(parts, whole):
    """TRUST-6: exact sum, every share within one unit of the true one, a larger part never gets less."""
    shares = compute_shares(parts, whole)
    total = sum(parts.values())
    assert sum(shares.values()) == whole
    assert all(0 <= shares[key] - parts[key] * whole // total <= 1 for key in parts)
    ordered = sorted(parts, key=lambda key: parts[key])
    assert all(shares[low] <= shares[high] for low, high in itertools.pairwise(ordered) if parts[low] < parts[high])


@settings(max_examples=25)
@given(st.integers(0, 2**32))
def test_the_default_constants_do_what_the_spec_says(seed):
    """The reasoning of spec/TRUST.md, whatever the luck: see the kinds in the support module."""
    trust = {kind.name: play(TrustParams(), seed)[-1].entries[key_of(kind)].trust for kind in KINDS}
    assert max(trust["a little noise"], trust["much noise"]) < INITIAL_TRUST // 4
    assert trust["late, every 3rd round"] > INITIAL_TRUST * 9 // 10
    assert trust["silent from round 10"] > INITIAL_TRUST * 9 // 10
    assert trust["joins at round 10"] > INITIAL_TRUST * 7 // 10
    assert trust["one fault at round 10"] > INITIAL_TRUST * 7 // 10
    assert trust["skewed shard"] > 2 * max(trust["a little noise"], trust["much noise"])
    assert min(trust[f"honest {i}"] for i in (1, 2, 3)) > INITIAL_TRUST * 9 // 10
