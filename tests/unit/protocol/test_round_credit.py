"""What a closing round hands to the trust policy."""

import pytest

from flobc.protocol.messages import Fault
from flobc.protocol.trust.params import TRUST_ONE
from tests.support.dialogue import Chain, build_params

GOOD = 100_000


def test_a_fault_counts_even_beside_an_accepted_update():
    """TRUST-12, TRUST-17: a good update in the same round does not buy off a faulty one."""
    chain = Chain(params=build_params(majority_ratio_ppm=1_000_000, accept_tolerance=100_000))
    chain.faults(chain.update(0, k=0), *[Fault.NON_FINITE] * 3)
    chain.votes(chain.update(0, k=1), GOOD, GOOD, GOOD)
    chain.close_round(1, 2)
    assert chain.trust(0) == chain.state.params.trust.floor
    assert chain.trust(1) == chain.trust(2) > chain.trust(0)


def test_a_superseded_update_counts_for_nothing():
    """ROUND-11, TRUST-12: of two accepted updates the newer one is used and credited, the other left alone."""
    params = build_params(majority_ratio_ppm=1_000_000, accept_tolerance=100_000)
    once, twice = Chain(params=params), Chain(params=params)
    twice.votes(twice.update(0, k=0), -90_000, -90_000, -90_000)
    for chain in (once, twice):
        chain.votes(chain.update(0, k=1), GOOD, GOOD, GOOD)
        chain.close_round(1, 2)
        chain.commit()
    assert (0, "SUPERSEDED") in twice.outcomes()
    assert [twice.trust(i) for i in range(3)] == [once.trust(i) for i in range(3)]


def test_a_copy_counts_for_nothing():
    """ROUND-11, TRUST-12: a copied payload is neither credited nor held against its sender."""
    chain = Chain(trainers=4, params=build_params(majority_ratio_ppm=1_000_000, accept_tolerance=100_000))
    update = chain.update(0)
    chain.votes(update, GOOD, GOOD, GOOD)
    chain.votes(chain.update(1, payload_root=update.payload_root), -90_000, -90_000, -90_000)
    chain.close_round(2, 3)
    chain.commit()
    assert chain.outcomes() == [(0, "ACCEPTED"), (1, "DUPLICATE"), (2, "ACCEPTED"), (3, "ACCEPTED")]
    assert chain.trust(1) == 1_000_000


@pytest.mark.parametrize("policy", ["flobc", "flobc_plus"])
def test_a_convicted_trainer_counts_as_one_fault_whatever_else_it_sent(policy):
    """ROUND-12, TRUST-7, TRUST-17."""
    chain = Chain(params=build_params(policy=policy, majority_ratio_ppm=1_000_000, accept_tolerance=100_000))
    chain.votes(chain.update(0, k=1), GOOD, GOOD, GOOD)
    chain.send(chain.evidence(chain.update(0, norm=1), chain.update(0, norm=2)))
    chain.close_round(1, 2)
    worst = {"flobc": 0, "flobc_plus": chain.state.params.trust.floor}[policy]
    assert chain.trust(0) == worst
    if policy == "flobc":
        assert chain.trust(1) == chain.trust(2) == TRUST_ONE // 2
