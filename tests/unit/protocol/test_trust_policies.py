from dataclasses import replace

import pytest

from flobc.errors import LocalProtocolError, UsageError
from flobc.protocol.trust.params import INITIAL_TRUST, TRUST_ONE, TrustParams, validate_trust_params
from flobc.protocol.trust.policies import admit, admit_genesis, compute_trust_shares, credit, effective_trust
from flobc.protocol.trust.state import Reference, Scored, TrustEntry, TrustState

A, B, C, D, E = (bytes([i]) * 32 for i in range(5))
FULL = 65536
PLUS = TrustParams()
FLOBC = TrustParams(policy="flobc")
NONE = TrustParams(policy="none")


def genesis(params, *trainers):
    return admit_genesis(params, trainers)


def scored(trainer, score, base_height=1, discount=FULL):
    return Scored(trainer, base_height, score, discount, fault=False, accepted=True, used=True)


def rejected(trainer, score, base_height=1):
    return replace(scored(trainer, score, base_height), accepted=False, used=False)


def faulty(trainer):
    return replace(rejected(trainer, -1_000_000), fault=True)


def trust_of(state):
    return {trainer[0]: entry.trust for trainer, entry in state.entries.items()}


def plus_state(**entries):
    """A ``flobc_plus`` state from ``a=(trust, probation)``."""
    return TrustState({bytes([ord(k) - ord("a")]) * 32: TrustEntry(*v, 0) for k, v in entries.items()})


@pytest.mark.parametrize(
    "wrong",
    [
        {"policy": "plus"},
        {"floor": 0},
        {"floor": INITIAL_TRUST + 1},
        {"cap": INITIAL_TRUST - 1},
        {"rate_ppm": -1},
        {"rate_ppm": 0.5},
        {"decay_ppm": 1_000_001},
        {"fault_penalty_ppm": True},
        {"probation_share_ppm": 1_000_000},
        {"probation_share_ppm": 0},
        {"probation_rounds": -1},
        {"reference_window": 0},
    ],
)
def test_invalid_params(wrong):
    """TRUST-1."""
    with pytest.raises(UsageError, match=rf"trust\.{next(iter(wrong))} .*found"):
        validate_trust_params(replace(PLUS, **wrong))


@pytest.mark.parametrize("params", [PLUS, FLOBC, NONE])
def test_default_params_are_valid(params):
    """TRUST-1."""
    validate_trust_params(params)


@pytest.mark.parametrize("params", [PLUS, FLOBC, NONE])
def test_invalid_second_admission(params):
    """TRUST-2."""
    state = genesis(params, A, B)
    before = dict(state.entries)
    with pytest.raises(LocalProtocolError, match="TRUST-2"):
        admit(params, state, A, 5)
    assert state.entries == before


@pytest.mark.parametrize("params", [PLUS, FLOBC, NONE])
def test_invalid_unknown_trainer(params):
    """TRUST-3."""
    state = genesis(params, A)
    with pytest.raises(LocalProtocolError, match="TRUST-3"):
        credit(params, state, [scored(A, 5), scored(B, 5)], 1)
    with pytest.raises(LocalProtocolError, match="TRUST-3"):
        effective_trust(params, state, [A, B])


def test_none_ignores_scores():
    """TRUST-5."""
    state = genesis(NONE, C, A, B)
    assert trust_of(state) == {0: 333_333_334, 1: 333_333_333, 2: 333_333_333}
    assert credit(NONE, state, [scored(A, 900_000), faulty(B)], 1) == state
    assert set(trust_of(admit(NONE, state, D, 9)).values()) == {TRUST_ONE // 4}


def test_flobc_repeats_the_prototype():
    """TRUST-7, with the shares of three trainers worked by hand.

    1/3 + 0.1, 1/3 - 0.2 and max(1/3 - 0.5, 0) sum to 17/30: 13/17, 4/17 and 0.
    """
    state = genesis(FLOBC, A, B, C)
    state = credit(FLOBC, state, [scored(A, 100_000), scored(B, -200_000), scored(C, -500_000)], 1)
    assert trust_of(state) == {0: 764_705_883, 1: 235_294_117, 2: 0}


def test_flobc_credits_every_update_in_order():
    """TRUST-7: falling to 0 first and rising afterwards is not the same as the sum."""
    state = genesis(FLOBC, A, B)
    down_then_up = credit(FLOBC, state, [rejected(A, -800_000), scored(A, 500_000)], 1)
    up_then_down = credit(FLOBC, state, [scored(A, 500_000), rejected(A, -800_000)], 1)
    assert trust_of(down_then_up) == {0: TRUST_ONE // 2, 1: TRUST_ONE // 2}
    assert trust_of(up_then_down) == {0: 285_714_286, 1: 714_285_714}


def test_flobc_starts_again_when_nothing_is_left():
    """TRUST-8."""
    state = credit(FLOBC, genesis(FLOBC, A, B), [faulty(A), faulty(B)], 1)
    assert trust_of(state) == {0: TRUST_ONE // 2, 1: TRUST_ONE // 2}


def test_flobc_newcomer_erases_nothing():
    """TRUST-9: joining used to reset everybody's trust."""
    state = credit(FLOBC, genesis(FLOBC, A, B), [scored(A, 500_000)], 1)
    assert trust_of(state) == {0: 666_666_667, 1: 333_333_333}
    assert trust_of(admit(FLOBC, state, C, 2)) == {
        0: 444_444_445,
        1: 222_222_222,
        2: 333_333_333,
    }


def test_plus_starts():
    """TRUST-10, TRUST-11."""
    state = genesis(PLUS, A, B)
    state = admit(PLUS, state, C, 7)
    assert state.entries == {
        A: TrustEntry(INITIAL_TRUST, 0, 0),
        B: TrustEntry(INITIAL_TRUST, 0, 0),
        C: TrustEntry(PLUS.floor, PLUS.probation_rounds, 7),
    }


def test_plus_credits_the_distance_to_the_median():
    """TRUST-13, TRUST-14, TRUST-16: twice the distance to the lower median, 20,000."""
    state = genesis(PLUS, A, B, C, D)
    results = [scored(A, 10_000), scored(B, 20_000), scored(C, 30_000), scored(D, 900_000)]
    assert trust_of(credit(PLUS, state, results, 1)) == {0: 980_000, 1: 1_000_000, 2: 1_020_000, 3: 1_200_000}


def test_plus_discounts_late_credit():
    """TRUST-13: half a discount, half the credit, in both directions."""
    state = replace(genesis(PLUS, A, B), references=(Reference(1, 50_000, 3),))
    results = [scored(A, 60_000, discount=FULL // 2), scored(B, 40_000, discount=FULL // 2)]
    assert trust_of(credit(PLUS, state, results, 3)) == {0: 1_010_000, 1: 990_000}


def test_plus_rejected_update_earns_nothing():
    """TRUST-13: the best of a bad lot."""
    state = genesis(PLUS, A, B, C)
    results = [rejected(A, -60_000), rejected(B, -500_000), rejected(C, -500_000)]
    assert trust_of(credit(PLUS, state, results, 1))[0] == INITIAL_TRUST


def test_plus_counts_one_result_per_trainer():
    """TRUST-12: fault before used before the worst rejected one; superseded ones not at all."""
    state = replace(genesis(PLUS, A, B, C), references=(Reference(1, 0, 9),))
    superseded = replace(scored(A, 90_000), used=False)
    one = credit(PLUS, state, [scored(A, 10_000)], 1)
    assert credit(PLUS, state, [superseded, rejected(A, -90_000), scored(A, 10_000)], 1) == one
    worst = credit(PLUS, state, [rejected(A, -60_000), rejected(A, -90_000)], 1)
    assert trust_of(worst)[0] == 820_000
    assert credit(PLUS, state, [scored(A, 10_000), faulty(A)], 1).entries[A].trust == PLUS.floor
    assert credit(PLUS, state, [superseded], 1) == credit(PLUS, state, [], 1)


@pytest.mark.parametrize(
    ("references", "expected"),
    [
        ((), 0),
        ((Reference(1, 30_000, 3), Reference(2, 90_000, 50)), 30_000),
        ((Reference(1, 30_000, 2), Reference(2, 90_000, 50)), 90_000),
        ((Reference(0, 10_000, 4), Reference(2, 90_000, 5)), 90_000),
        ((Reference(0, 10_000, 5), Reference(2, 90_000, 5)), 10_000),
    ],
)
def test_plus_reference_of_a_thin_base(references, expected):
    """TRUST-14: the base's own median if three made it, else all kept medians by size, else no credit."""
    state = replace(genesis(PLUS, A, B), references=references)
    moved = credit(PLUS, state, [scored(A, 50_000)], 2).entries[A].trust - INITIAL_TRUST
    assert moved == (2 * (50_000 - expected) if references else 0)


def test_plus_keeps_the_largest_cohorts_median():
    """TRUST-15, faults left out."""
    state = genesis(PLUS, A, B, C, D, E)
    three = [scored(A, 1_000), scored(B, 2_000), scored(C, 3_000), faulty(D)]
    state = credit(PLUS, state, three, 1)
    assert state.references == (Reference(1, 2_000, 3),)
    state = credit(PLUS, state, [scored(D, 9_000), scored(E, 7_000, base_height=2)], 2)
    assert state.references == (Reference(1, 2_000, 3), Reference(2, 7_000, 1))
    state = credit(PLUS, state, [scored(A, 5_000, 2), scored(B, 6_000, 2)], 2)
    assert state.references[1] == Reference(2, 5_000, 2)
    tie = credit(PLUS, state, [scored(A, 8_000, 2), scored(B, 9_000, 2)], 3)
    assert tie.references == state.references
    too_old = credit(PLUS, state, [scored(A, 8_000, 0)], PLUS.reference_window)
    assert too_old.references == state.references
    assert credit(PLUS, state, [], 1 + PLUS.reference_window).references == state.references[1:]
    assert credit(PLUS, state, [], 99).references == ()


def test_plus_idle_only_decays():
    """TRUST-16."""
    state = plus_state(a=(2_000_000, 0), b=(1_000_000, 0), c=(500_000, 0), d=(100_000, 3))
    assert trust_of(credit(PLUS, state, [], 5)) == {0: 1_900_000, 1: 1_000_000, 2: 550_000, 3: 100_000}


def test_plus_fault_begins_a_probation_that_used_updates_end():
    """TRUST-17, TRUST-18."""
    params = replace(PLUS, probation_rounds=2)
    state = replace(genesis(params, A, B), references=(Reference(1, 0, 5),))
    state = credit(params, state, [faulty(A)], 1)
    assert state.entries[A] == TrustEntry(params.floor, 2, 0)
    state = credit(params, state, [scored(A, 90_000)], 1)
    assert state.entries[A] == TrustEntry(params.floor, 1, 0)
    assert credit(params, state, [], 1).entries[A].probation == 1
    assert credit(params, state, [rejected(A, -90_000)], 1).entries[A].probation == 2
    state = credit(params, state, [scored(A, 90_000)], 1)
    assert state.entries[A] == TrustEntry(params.floor, 0, 0)
    assert credit(params, state, [scored(A, 90_000)], 1).entries[A].trust == 100_000 + 90_000 + 180_000


def test_plus_part_of_a_penalty():
    """TRUST-17."""
    params = replace(PLUS, fault_penalty_ppm=500_000)
    state = credit(params, genesis(params, A), [faulty(A)], 1)
    assert state.entries[A] == TrustEntry(550_000, params.probation_rounds, 0)


def test_plus_probation_weighs_little_together():
    """TRUST-19: a crowd of new identities beside one established trainer."""
    crowd = [bytes([1, i]) + bytes(30) for i in range(100)]
    state = genesis(PLUS, A)
    for trainer in crowd:
        state = admit(PLUS, state, trainer, 3)
    trust = effective_trust(PLUS, state, [A, *crowd])
    assert trust[A] == INITIAL_TRUST
    assert {trust[trainer] for trainer in crowd} == {2_500}
    assert effective_trust(PLUS, state, crowd) == dict.fromkeys(crowd, PLUS.floor)
    assert effective_trust(PLUS, state, [A, crowd[0]]) == {A: INITIAL_TRUST, crowd[0]: PLUS.floor}


def test_shares_for_people_are_of_the_trust_that_counts():
    """TRUST-19: newcomers on probation hold trust, of which weights see a part."""
    params = TrustParams(policy="flobc_plus", probation_share_ppm=100_000)
    state = plus_state(a=(TRUST_ONE, 0), b=(TRUST_ONE, 3), c=(TRUST_ONE, 3))
    shares = compute_trust_shares(params, state)
    assert sum(shares.values()) == pytest.approx(1)
    assert shares[b"\x01" * 32] + shares[b"\x02" * 32] == pytest.approx(0.1, abs=1e-5)
