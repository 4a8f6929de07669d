"""Who is let in (CHAIN-9) and what equivocation costs (CHAIN-12)."""

from dataclasses import replace

import pytest

from flobc.protocol.consensus.state import get_active_trainers
from flobc.protocol.messages import NO_SIGNATURE, Evidence, Join, encode_record, sign
from tests.support.dialogue import OPERATOR, Chain, build_params, identity

SECRET = identity("invitation")
NEWCOMER = identity("newcomer")
GOOD = 100_000


def build_join(chain: Chain) -> Join:
    return Join(chain.state.chain, NEWCOMER.public_key, None)


def by_invitation(**changes) -> Chain:
    return Chain(params=build_params(mode="invite", **changes))


def test_an_invited_trainer_joins_and_counts_as_active():
    """CHAIN-9: rounds wait for it as for a genesis member once a block has told it that it is in."""
    chain = by_invitation()
    chain.join(NEWCOMER, chain.invite(SECRET), SECRET)
    assert NEWCOMER.public_key not in get_active_trainers(chain.state)
    chain.play_round()
    assert NEWCOMER.public_key in get_active_trainers(chain.state)
    chain.votes(chain.update(NEWCOMER), GOOD)
    assert len(chain.state.core.pending) == 1


def test_a_newcomer_to_an_open_chain_is_active_once_accepted():
    """CHAIN-9: otherwise anybody could make every round wait."""
    chain = Chain(params=build_params(mode="open", majority_ratio_ppm=1_000_000))
    chain.join(NEWCOMER)
    assert NEWCOMER.public_key not in get_active_trainers(chain.state)
    chain.votes(chain.update(NEWCOMER), GOOD, GOOD, GOOD)
    chain.play_round()
    assert NEWCOMER.public_key in get_active_trainers(chain.state)


def test_an_allowlist_lets_nobody_in():
    """CHAIN-9."""
    chain = Chain()
    with chain.refuses("CHAIN-9"):
        chain.join(NEWCOMER)


@pytest.mark.parametrize("mode", ["open", "invite"])
def test_invalid_joins_of_members(mode):
    """CHAIN-9: a trainer or validator of the chain, or the same newcomer twice."""
    chain = Chain(params=build_params(mode=mode))
    invitation = chain.invite(SECRET, max_joins=9)
    chain.join(NEWCOMER, invitation, SECRET)
    for who in (NEWCOMER, chain.trainers[0], chain.validators[0]):
        with chain.refuses("CHAIN-9"):
            chain.join(who, invitation, SECRET)


def test_invalid_join_that_its_trainer_did_not_sign():
    """WIRE-9: nobody is entered by somebody else."""
    chain = Chain(params=build_params(mode="open"))
    with chain.refuses("WIRE-9"):
        chain.send(sign(replace(build_join(chain), signature=NO_SIGNATURE), identity("somebody else")))


def test_invalid_key_of_a_newcomer():
    """CHAIN-9, WIRE-13: a key for which anybody can sign."""
    chain = Chain(params=build_params(mode="open"))
    with chain.refuses("WIRE-9"):
        chain.send(replace(build_join(chain), trainer=bytes(32)))


def test_invalid_invitations():
    """CHAIN-9: none, another operator's, another chain's, changed after signing, used up, expired."""
    chain, other = by_invitation(), Chain(params=build_params(mode="invite"), salt="b")
    good = chain.invite(SECRET, max_joins=1, expires_height=1)
    wrong = [
        None,
        chain.invite(SECRET, operator=identity("impostor")),
        other.invite(SECRET),
        replace(good, max_joins=100),
        replace(good, expires_height=100),
        chain.invite(SECRET, max_joins=0),
        chain.invite(SECRET, expires_height=0),
    ]
    for invitation in wrong:
        with chain.refuses("CHAIN-9"):
            chain.join(NEWCOMER, invitation, SECRET)
    chain.join(NEWCOMER, good, SECRET)
    with chain.refuses("CHAIN-9"):
        chain.join(identity("second"), good, SECRET)


def test_an_invitation_expires_with_the_closing_of_its_last_height():
    """CHAIN-9."""
    chain = by_invitation()
    invitation = chain.invite(SECRET, max_joins=5, expires_height=2)
    chain.play_round()
    chain.join(NEWCOMER, invitation, SECRET)
    chain.close_round()
    with chain.refuses("CHAIN-9"):
        chain.join(identity("late"), invitation, SECRET)


def test_an_invitation_counts_its_joins_across_blocks_and_renewals():
    """CHAIN-9: the count belongs to the invitation's key, so the operator can raise the number but not reset it."""
    chain = by_invitation()
    chain.join(identity(1), chain.invite(SECRET, max_joins=2), SECRET)
    chain.play_round()
    chain.join(identity(2), chain.invite(SECRET, max_joins=2), SECRET)
    with chain.refuses("CHAIN-9"):
        chain.join(identity(3), chain.invite(SECRET, max_joins=2), SECRET)
    chain.join(identity(3), chain.invite(SECRET, max_joins=3), SECRET)


def test_invalid_countersignatures():
    """CHAIN-9: by the wrong key, missing, or taken from somebody else's join."""
    chain = by_invitation()
    invitation = chain.invite(SECRET, max_joins=5)
    for secret in (identity("wrong"), OPERATOR, None):
        with chain.refuses("CHAIN-9"):
            chain.join(NEWCOMER, invitation, secret)
    chain.join(NEWCOMER, invitation, SECRET)
    stolen = replace(build_join(chain), trainer=identity("thief").public_key, invitation=invitation)
    message = chain.log[-1][-128:-64]  # the countersignature stands before the signature
    with chain.refuses("CHAIN-9"):
        chain.say(replace(stolen, countersignature=message), identity("thief"))


def test_caps_on_joins():
    """CHAIN-9: so many a block, so many trainers in all."""
    chain = Chain(trainers=3, params=build_params(mode="open", max_joins_per_block=2, max_trainers=6))
    chain.join(identity(1))
    chain.join(identity(2))
    with chain.refuses("CHAIN-9"):
        chain.join(identity(3))
    chain.play_round()
    chain.join(identity(3))
    with chain.refuses("CHAIN-9"):
        chain.join(identity(4))
    assert len(chain.state.core.trainers) == 6


# Equivocation.


def test_an_equivocating_trainer_is_penalised_and_its_update_dropped():
    """CHAIN-12, TRUST-17: before or after the log knew the update; the evidence stands in the block."""
    chain = Chain(params=build_params(majority_ratio_ppm=1_000_000))
    first, second = chain.update(0, norm=1), chain.update(0, norm=2)
    chain.votes(first, GOOD, GOOD, GOOD)
    record = chain.send(chain.evidence(first, second))
    assert not chain.state.core.pending
    with chain.refuses("ROUND-5"):
        chain.vote(3, first, GOOD)
    block = chain.play_round(1, 2)
    assert [encode_record(item) for item in block.body.evidence] == [record]
    assert chain.trust(0) == chain.state.params.trust.floor
    assert chain.state.core.trust.entries[chain.trainers[0].public_key].probation > 0


def test_equivocation_over_an_update_already_used_is_still_penalised():
    """CHAIN-12: as long as its base is within the staleness window."""
    chain = Chain(params=build_params(max_staleness=2))
    first, second = chain.update(0, norm=1), chain.update(0, norm=2)
    chain.play_round(0, 1, 2)
    chain.play_round(1, 2)
    chain.send(chain.evidence(first, second))
    chain.play_round(1, 2)
    assert chain.trust(0) == chain.state.params.trust.floor
    too_old = chain.evidence(chain.update(0, base=0, k=1, norm=1), chain.update(0, base=0, k=1, norm=2))
    with chain.refuses("CHAIN-12"):
        chain.send(too_old)


def test_one_conflict_is_punished_once_and_one_key_once_a_round():
    """CHAIN-12: so a key's conflicts cannot fill blocks."""
    chain = Chain(params=build_params(max_staleness=4))
    versions = [chain.update(0, norm=norm) for norm in (1, 2, 3)]
    chain.send(chain.evidence(versions[0], versions[1]))
    again = chain.evidence(versions[1], versions[2])
    other = chain.evidence(chain.update(0, k=1, norm=1), chain.update(0, k=1, norm=2))
    for evidence in (again, other):
        with chain.refuses("CHAIN-12"):
            chain.send(evidence)
    chain.play_round(1, 2)
    with chain.refuses("CHAIN-12"):
        chain.send(again)
    chain.send(other)


def test_a_double_seal_costs_a_validator_its_votes():
    """CHAIN-12: votes, reports and timeouts; readys and seals still count, and the chain goes on."""
    chain = Chain()
    chain.close_round()
    one, two = chain.build_seal(0, b"m" * 32), chain.build_seal(0, b"n" * 32)
    chain.send(chain.evidence(one, two))
    chain.commit()
    with chain.refuses("CHAIN-12"):
        chain.vote(0, chain.update(0), GOOD)
    with chain.refuses("CHAIN-12"):
        chain.report(0, loss=1)
    with chain.refuses("ROUND-17"):
        chain.timeout(0)
    with chain.refuses("CHAIN-12"):
        chain.send(chain.evidence(one, two))
    for trainer in (0, 1):
        for validator in (1, 2, 3):
            chain.vote(validator, chain.update(trainer), GOOD)
    chain.commit()
    assert chain.state.height == 2


def test_invalid_evidence():
    """CHAIN-12: nothing an honest key ever signs convicts it."""
    chain, other = Chain(), Chain(salt="b")
    chain.close_round()
    first, second = chain.update(0, norm=1), chain.update(0, norm=2)
    seal = chain.build_seal(0, b"m" * 32)
    stranger = identity("stranger")
    invalid = [
        (first, first),
        (first, chain.update(0, k=1)),
        (first, chain.update(1, norm=2)),
        (first, replace(second, signature=NO_SIGNATURE)),
        (first, seal),
        (seal, chain.build_seal(1, b"n" * 32)),
        (seal, sign(replace(seal, height=2), chain.validators[0])),
        (seal, replace(seal, header=b"h" * 32)),
        (other.update(0, norm=1), other.update(0, norm=2)),
        (first, other.update(0, norm=2)),
        (chain.update(stranger, norm=1), chain.update(stranger, norm=2)),
        (chain.update(0, base=9, norm=1), chain.update(0, base=9, norm=2)),
        tuple(sign(replace(seal, validator=stranger.public_key, header=bytes([i]) * 32), stranger) for i in (1, 2)),
    ]
    for pair in invalid:
        with chain.refuses("CHAIN-12"):
            chain.send(chain.evidence(*pair))
    good = chain.evidence(first, second)
    with chain.refuses("CHAIN-12"):
        chain.send(Evidence(good.second, good.first))
    with chain.refuses("WIRE-3"):
        chain.send(Evidence(good.first, good.second + b"\0"))
    with chain.refuses("CHAIN-12"):
        chain.send(chain.evidence(chain.update(0), chain.build_vote(0, chain.update(0))))
    chain.send(good)
