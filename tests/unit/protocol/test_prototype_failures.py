"""What brought the published prototype down, or bent it; each is a test here.

The prototype is FLoBC, arXiv 2112.11873, with its public code.
"""

import pytest

from flobc.composition.embedded import explain_stop
from flobc.protocol.chain.block import Closing
from flobc.protocol.consensus.state import get_active_trainers
from flobc.protocol.messages import Fault, compute_update_id
from flobc.protocol.trust.params import TRUST_ONE
from tests.support.dialogue import Chain, build_params, digest, identity
from tests.support.replica import Replica, run

GOOD, BAD = 100_000, -900_000
SECRET, NEWCOMER = identity("invitation"), identity("newcomer")


def build_replicas(chain: Chain, honest: int, score=lambda index, header: GOOD) -> list[Replica]:
    log: list[bytes] = []
    return [Replica(i, chain.validators[i], chain.genesis, log, score) for i in range(honest)]


def publish(replicas: list[Replica], *headers) -> None:
    for replica in replicas:
        for header in headers:
            replica.deliver(header)


def play_replicas(chain: Chain, replicas: list[Replica], heights: int, trainers=(0, 1, 2)) -> bool:
    """Play rounds; the given trainers publish one update from every certified head."""
    for height in range(heights):
        publish(replicas, *(chain.update(trainer, base=height) for trainer in trainers))
        if not run(replicas, lambda state, next_height=height + 1: state.height == next_height):
            return False
    return True


# It had no base, no sequence and no memory of what it had seen.


def test_replayed_votes_and_updates_do_nothing():
    """ROUND-2, ROUND-5, CHAIN-11: the prototype added a replayed update again."""
    chain = Chain()
    chain.play_round()
    for record in list(chain.log):
        before = chain.state
        with pytest.raises(Exception, match="expected"):
            chain.send(record)
        assert chain.state is before
    assert chain.play_round().header.num_decisions == 2


def test_an_update_from_a_wrong_base_does_nothing():
    """ROUND-3: the prototype applied late deltas to whatever model was newest."""
    chain = Chain(params=build_params("bsp"))
    late, early = chain.update(0), chain.update(1, base=7)
    chain.play_round()
    for update in (late, early):
        with chain.refuses("ROUND-5"):
            chain.vote(0, update, GOOD)


def test_an_update_under_an_unknown_key_does_nothing():
    """ROUND-1: the prototype registered whoever sent something."""
    chain = Chain()
    with chain.refuses("ROUND-5"):
        chain.vote(0, chain.update(NEWCOMER), GOOD)
    assert NEWCOMER.public_key not in chain.state.core.trainers


def test_a_second_update_under_the_same_sequence_number_does_nothing():
    """ROUND-2: in the prototype the later one overwrote the earlier."""
    chain = Chain()
    first, second = chain.update(0, norm=1), chain.update(0, norm=2)
    chain.vote(0, first, GOOD)
    with chain.refuses("ROUND-5"):
        chain.vote(1, second, GOOD)
    assert list(chain.state.core.pending) == [compute_update_id(first)]


# Anybody could force a barrier.


def test_one_timeout_forces_no_barrier():
    """ROUND-17, SYNC-5: nor do f of them, nor one said again and again."""
    chain = Chain()
    chain.votes(chain.update(0), GOOD, GOOD, GOOD)
    chain.timeout(0)
    for _ in range(3):
        with chain.refuses("ROUND-17"):
            chain.timeout(0)
    assert (chain.state.closed, chain.state.core.step) == (None, 0)


def test_outsiders_timeouts_force_no_barrier():
    """ROUND-1, ROUND-17: trainers and strangers have no timers."""
    chain = Chain()
    chain.votes(chain.update(0), GOOD, GOOD, GOOD)
    for who in (*chain.trainers, NEWCOMER):
        with chain.refuses("ROUND-1"):
            chain.timeout(who)
    assert chain.state.closed is None


# Honest disagreement made it panic.


def test_validators_that_disagree_honestly_go_on():
    """ROUND-10: different shards give different scores; the median decides and nobody is at fault."""
    chain = Chain(params=build_params("bsp"))
    shards = {0: 300_000, 1: -5_000, 2: 40_000, 3: 41_000}
    replicas = build_replicas(chain, 4, lambda index, header: shards[index])
    assert play_replicas(chain, replicas, 3)
    decisions = replicas[0].state.head.body.decisions
    assert all(min(shards.values()) <= item.score <= max(shards.values()) for item in decisions)
    assert all(item.fault is Fault.NONE for item in decisions)
    assert replicas[0].state.core.muted == ()


# A newcomer reset everybody's trust.


def play_until_trust_differs(chain: Chain) -> None:
    for _ in range(3):
        for trainer, score in enumerate((GOOD, GOOD // 2, BAD)):
            if chain.state.closed is None:
                chain.votes(chain.update(trainer), score, score, score)
        while chain.state.closed is None:
            chain.expire()
        chain.commit()


@pytest.mark.parametrize("mode", ["open", "invite"])
def test_a_newcomer_moves_nobody_elses_trust(mode):
    """CHAIN-9, TRUST-11: under the default policy."""
    chain = Chain(params=build_params(mode=mode, majority_ratio_ppm=1_000_000))
    play_until_trust_differs(chain)
    before = [chain.trust(trainer) for trainer in range(3)]
    assert len(set(before)) == 3
    chain.join(NEWCOMER, chain.invite(SECRET), SECRET)
    assert [chain.trust(trainer) for trainer in range(3)] == before
    assert chain.trust(NEWCOMER) == chain.state.params.trust.floor


def test_a_newcomer_keeps_the_others_proportions_under_the_prototypes_policy():
    """TRUST-9: it gets 1/N; nobody's past is erased."""
    chain = Chain(params=build_params(mode="open", policy="flobc", majority_ratio_ppm=1_000_000))
    play_until_trust_differs(chain)
    first, second, third = (chain.trust(trainer) for trainer in range(3))
    chain.join(NEWCOMER)
    assert chain.trust(NEWCOMER) == TRUST_ONE // 4
    assert third == chain.trust(2) == 0
    assert abs(chain.trust(0) * second - chain.trust(1) * first) <= TRUST_ONE


@pytest.mark.parametrize("flaw", ["expired", "used up", "wrong countersignature", "none"])
def test_nobody_joins_without_a_good_invitation(flaw):
    """CHAIN-9: the prototype had no admission at all."""
    chain = Chain(params=build_params(mode="invite"))
    chain.play_round()
    invitation = chain.invite(SECRET, max_joins=1, expires_height=1 if flaw == "expired" else 9)
    if flaw == "used up":
        chain.join(identity("first"), invitation, SECRET)
    secret = identity("wrong") if flaw == "wrong countersignature" else SECRET
    with chain.refuses("CHAIN-9"):
        chain.join(NEWCOMER, None if flaw == "none" else invitation, secret)


# One dead trainer made it wait for ever; all-zero trust divided by zero.


@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
def test_a_dead_trainer_stalls_nobody(scheme):
    """SYNC-6, SYNC-7: a deadline is a quorum of timers; later the dead one is no longer waited for."""
    chain = Chain(params=build_params(scheme, majority_ratio_ppm=1_000_000, liveness_rounds=2))
    replicas = build_replicas(chain, 4)
    assert play_replicas(chain, replicas, 4, trainers=(0, 1))
    closings = []
    state = replicas[0].state
    assert chain.trainers[2].public_key not in get_active_trainers(state)
    closings = state.head.header.closing
    assert closings is (Closing.MAJORITY if scheme == "bap" else Closing.COMPLETE)


def test_all_trust_lost_is_all_trust_equal():
    """TRUST-8: under the prototype's policy, which then divided by zero."""
    chain = Chain(params=build_params(policy="flobc", majority_ratio_ppm=1_000_000))
    for _ in range(2):
        chain.play_round(score=-SCORE)
        assert sorted(chain.trust(trainer) for trainer in range(3)) == [333333333, 333333333, 333333334]
    assert chain.play_round(score=GOOD).accepted


SCORE = 1_000_000


# It assumed that every validator is honest and awake.


@pytest.mark.parametrize("liars", [1, 2])
def test_lying_validators_neither_stop_nor_steer(liars):
    """ROUND-10: f of 3f + 1 vote the opposite of everybody, first and on everything."""
    count = 3 * liars + 1
    chain = Chain(validators=count, params=build_params("bsp"))
    good = {0: True, 1: True, 2: False}
    keys = [one.public_key for one in chain.trainers]

    def score(index, header):
        return (GOOD if good[keys.index(header.trainer)] else BAD) * (-1 if index < liars else 1)

    replicas = build_replicas(chain, count, score)
    assert play_replicas(chain, replicas, 3)
    block = replicas[-1].state.head
    outcomes = {keys.index(item.trainer): item.reason.name for item in block.body.decisions}
    assert outcomes == {0: "ACCEPTED", 1: "ACCEPTED", 2: "LOW_SCORE"}


def test_a_validator_that_seals_twice_stops_nothing():
    """ROUND-15, CHAIN-12: its second seal is refused, and evidence takes its votes."""
    chain = Chain()
    chain.close_round()
    model, other = digest("model"), digest("other")
    for validator in range(3):
        chain.ready(validator, model)
    first, second = chain.build_seal(3, model), chain.build_seal(3, other)
    with chain.refuses("ROUND-15"):
        chain.send(second)
    chain.send(first)
    with chain.refuses("ROUND-15"):
        chain.send(second)
    chain.send(chain.evidence(first, second))
    chain.seal(0, model)
    chain.seal(1, model)
    assert chain.state.height == 1
    assert chain.state.core.muted == (chain.validators[3].public_key,)


@pytest.mark.parametrize(("validators", "silent"), [(4, 1), (7, 2)])
def test_silent_validators_up_to_f_stop_nothing(validators, silent):
    """CHAIN-5."""
    chain = Chain(validators=validators, params=build_params("bsp"))
    replicas = build_replicas(chain, validators - silent)
    assert play_replicas(chain, replicas, 2)


@pytest.mark.parametrize(("validators", "silent"), [(4, 2), (7, 3), (3, 1)])
def test_one_silent_validator_more_stops_the_chain_and_says_why(validators, silent):
    """CHAIN-5, ROUND-16: it stops, it does not fork, and the person learns who is missing."""
    chain = Chain(validators=validators, params=build_params("bsp"))
    replicas = build_replicas(chain, validators - silent)
    assert not play_replicas(chain, replicas, 1)
    state = replicas[0].state
    assert (state.height, state.closed) == (0, None)
    said = explain_stop(state)
    assert f"{validators - silent} of {validators} validators voted" in said
    assert f"but {state.quorum} must" in said


def test_validators_lost_between_vote_and_seal_stop_the_chain_and_it_says_why():
    """ROUND-14, ROUND-16: it goes on where it stopped as soon as they are back."""
    chain = Chain()
    chain.close_round()
    model = digest("model")
    chain.ready(0, model)
    chain.ready(1, model)
    said = explain_stop(chain.state)
    assert "block 1 has 2 readys and 0 seals, but needs 3 of 4 validators" in said
    chain.ready(2, model)
    for validator in range(3):
        chain.seal(validator, model)
    assert chain.state.height == 1
