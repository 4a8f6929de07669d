"""What a validator owes, and what it must not let itself be led into."""

from dataclasses import replace
from itertools import count

import pytest

from flobc.errors import UsageError
from flobc.protocol.chain.block import Reason
from flobc.protocol.messages import (
    NO_SIGNATURE,
    Evidence,
    Ready,
    Seal,
    VoteBatch,
    compute_update_id,
    decode_record,
    encode_record,
)
from flobc.protocol.params import get_chain_id
from flobc.protocol.roles import validator as rules
from flobc.protocol.roles.duties import Publish, ScoreUpdate
from tests.support.dialogue import Chain, build_params, digest, identity
from tests.support.replica import Replica, compute_model, run
from tests.support.succession import succeed


def build_world(chain: Chain, silent: int = 0) -> list[Replica]:
    log: list[bytes] = []
    honest = list(enumerate(chain.validators))[: len(chain.validators) - silent]
    return [Replica(i, who, chain.genesis, log, lambda index, header: 100_000) for i, who in honest]


def deliver(replicas: list[Replica], *headers) -> None:
    for replica in replicas:
        for header in headers:
            replica.deliver(header)


def test_junk_on_the_updates_topic_stalls_nobody():
    """ROUND-4: more unsigned headers in a member's name than fit in a batch; none is scored, all votes come through."""
    chain = Chain(params=build_params("bsp", max_votes_per_batch=2))
    replicas = build_world(chain)
    junk = [replace(chain.update(0, norm=norm), signature=NO_SIGNATURE) for norm in range(1, 40)]
    deliver(replicas, *junk, *(chain.update(trainer) for trainer in range(3)))
    assert run(replicas, lambda state: state.height == 1)
    assert len(replicas[0].state.head.accepted) == 3
    assert not any(replica.role.headers for replica in replicas)


@pytest.mark.parametrize(
    "changes",
    [
        {"chain": b"c" * 32},
        {"k": 9},
        {"codec": "float32"},
        {"num_chunks": 2},
        {"num_examples": 0},
        {"size_bytes": 17},
        {"base": 10**9},
        {"trainer": identity("stranger")},
    ],
    ids=lambda changes: next(iter(changes)),
)
def test_headers_that_can_never_be_voted_on_are_not_kept(changes):
    """ROUND-4: whatever the topic carries, memory holds admissible updates only."""
    chain = Chain()
    (replica,) = build_world(chain, silent=3)
    replica.deliver(chain.update(**{"trainer": 0, **changes}))
    assert replica.role.headers == {}


def test_an_update_from_a_block_not_yet_read_is_kept_and_scored_later():
    """ROUND-4: the updates topic may run ahead of the log."""
    chain = Chain()
    chain.play_round()
    early = chain.update(0)
    (replica,) = build_world(chain, silent=3)
    replica.deliver(early)
    duties = rules.get_duties(replica.role, replica.state)
    assert not any(isinstance(duty, ScoreUpdate) for duty in duties)
    replica.log += chain.log
    replica.step()
    duties = rules.get_duties(replica.role, replica.state)
    assert [duty.header for duty in duties if isinstance(duty, ScoreUpdate)] == [early]


@pytest.mark.parametrize(("scheme", "wanted"), [("bap", True), ("ssp", True), ("bsp", False)])
def test_a_late_update_is_scored_against_its_own_base(scheme, wanted):
    """ROUND-4: also when no other update from that base was open when the block came."""
    chain = Chain(params=build_params(scheme))
    replicas = build_world(chain)
    late = chain.update(2)
    deliver(replicas, chain.update(0), chain.update(1))
    assert run(replicas, lambda state: state.height == 1)
    deliver(replicas, late, chain.update(0, base=1), chain.update(1, base=1))
    assert run(replicas, lambda state: state.height == 2)
    decided = {decision.update for decision in replicas[0].state.head.body.decisions}
    assert (compute_update_id(late) in decided) == wanted


def test_evaluations_of_bases_are_kept_within_bounds():
    """ROUND-4: without a bound on staleness they would never go."""
    chain = Chain(params=build_params("bap", max_staleness=1000))
    replicas = build_world(chain)
    for base in range(rules.MAX_BASES + 3):
        deliver(replicas, *(chain.update(trainer, base=base) for trainer in range(3)))
        assert run(replicas, lambda state, base=base: state.height == base + 1)
    assert len(replicas[0].role.bases) <= rules.MAX_BASES + 1


def test_equivocation_costs_a_validator_one_piece_of_evidence_however_often_it_is_repeated():
    """ROUND-4, CHAIN-12: a thousand versions of one update are one conflict, reported once and then forgotten."""
    chain = Chain()
    replicas = build_world(chain)
    deliver(replicas, *(chain.update(0, norm=norm) for norm in range(1, 20)), chain.update(1), chain.update(2))
    assert all(len(replica.role.evidence) == 1 for replica in replicas)
    assert run(replicas, lambda state: state.height == 1)
    said = [decode_record(record) for record in replicas[0].log]
    assert sum(isinstance(record, Evidence) for record in said) == 1
    replicas[0].step()
    assert replicas[0].role.evidence == {}
    assert replicas[0].state.core.trust.entries[chain.trainers[0].public_key].probation > 0


def test_trainers_are_scored_in_turn():
    """ROUND-4: a flooder delays only itself."""
    chain = Chain(params=build_params(quota=5))
    (replica,) = build_world(chain, silent=3)
    deliver([replica], *(chain.update(0, k=k) for k in range(5)), chain.update(1), chain.update(2))
    role = replica.role
    replica.step()
    duties = rules.get_duties(replace(role, bases=replica.role.bases), replica.state)
    trainers = [duty.header.trainer for duty in duties if isinstance(duty, ScoreUpdate)]
    assert set(trainers[:3]) == {one.public_key for one in chain.trainers}
    assert len(trainers) == 7


def test_a_copy_does_not_overtake_by_a_header_that_sorts_first():
    """ROUND-5, ROUND-11: its author searches for an id below the original's, which takes a few tries."""
    chain = Chain(params=build_params("bsp"))
    replicas = build_world(chain)
    original = chain.update(1)
    copies = (chain.update(0, payload_root=original.payload_root, num_examples=n) for n in count(1))
    copy = next(item for item in copies if compute_update_id(item) < compute_update_id(original))
    deliver(replicas, original, copy, chain.update(2))
    assert run(replicas, lambda state: state.height == 1)
    reasons = {item.update: item.reason for item in replicas[0].state.head.body.decisions}
    assert reasons[compute_update_id(original)] is Reason.ACCEPTED
    assert reasons[compute_update_id(copy)] is Reason.DUPLICATE


def test_a_batch_holds_what_the_log_lacks_and_no_more():
    """ROUND-5: own votes not yet counted, headers not yet known, the report once."""
    chain = Chain(params=build_params("bsp", max_votes_per_batch=2))
    replicas = build_world(chain)
    deliver(replicas, *(chain.update(trainer) for trainer in range(3)))
    assert run(replicas, lambda state: state.height == 1)
    batches = [record for record in map(decode_record, replicas[0].log) if isinstance(record, VoteBatch)]
    assert max(len(batch.votes) for batch in batches) == 2
    headers = [header for batch in batches for header in batch.headers]
    assert len(headers) == len(set(headers)) == 3
    reported = [batch.validator for batch in batches if batch.report is not None]
    assert len(reported) == len(set(reported))


def test_nothing_is_owed_twice_after_a_restart():
    """CHAIN-10: duties follow from the log and the saved seal; a second run over the same log owes nothing."""
    chain = Chain(params=build_params("bsp"))
    replicas = build_world(chain)
    deliver(replicas, *(chain.update(trainer) for trainer in range(3)))
    assert run(replicas, lambda state: state.height == 1)
    log = list(replicas[0].log)
    for replica in replicas:
        replica.read_from(replica.log)
        while replica.step():
            pass
    assert replicas[0].log == log


def test_a_muted_validator_gets_ready_and_seals_but_does_not_vote():
    """CHAIN-12: equivocation takes a key's votes; the chain goes on with the others' and with its seals."""
    chain = Chain(params=build_params("bsp"))
    chain.close_round()
    chain.send(chain.evidence(chain.build_seal(3, b"m" * 32), chain.build_seal(3, b"n" * 32)))
    replicas = build_world(chain)
    replicas[0].log += chain.log
    assert run(replicas, lambda state: state.height == 1)
    length = len(replicas[0].log)
    deliver(replicas, *(chain.update(trainer, base=1) for trainer in range(3)))
    assert run(replicas, lambda state: state.height == 2)
    said = [decode_record(record) for record in replicas[0].log[length:]]
    muted = chain.validators[3].public_key
    assert {type(record) for record in said if record.sender == muted} <= {Ready, Seal}
    assert {record.validator for record in said if isinstance(record, VoteBatch)} == {
        one.public_key for one in chain.validators[:3]
    }


@pytest.mark.parametrize("counted", [True, False])
def test_a_second_seal_in_the_log_is_reported(counted):
    """CHAIN-12: the chain refuses it; whoever reads it makes it evidence, once, even if neither seal was needed."""
    chain = Chain(params=build_params("bsp"))
    replicas = build_world(chain, silent=1)
    chain.close_round()
    model = compute_model(chain.state.closed)
    seals = [encode_record(chain.build_seal(3, one)) for one in (model, digest("lie"), digest("another lie"))]
    if counted:
        for validator in range(3):
            chain.ready(validator, model)
        chain.send(seals[0])
    replicas[0].log += chain.log
    assert run(replicas, lambda state: state.height == 1)
    replicas[0].log += seals
    deliver(replicas, *(chain.update(trainer, base=1) for trainer in range(3)))
    assert run(replicas, lambda state: state.height == 2)
    assert replicas[0].state.core.muted == (chain.validators[3].public_key,)
    assert sum(isinstance(decode_record(record), Evidence) for record in replicas[0].log) == 1


def test_records_that_convict_nobody_leave_no_trace():
    """CHAIN-12: copies, junk, forged seals and seals of a height nobody holds another seal for."""
    chain = Chain(params=build_params("bsp"))
    chain.close_round()
    lie = chain.build_seal(3, digest("lie"))
    early = encode_record(lie)
    chain.commit()
    (replica,) = build_world(chain, silent=3)
    forged = replace(chain.blocks[0].certificate[0], header=digest("forged"))
    replica.log += [b"junk", *chain.log, *chain.log, encode_record(forged), early, early]
    replica.catch_up()
    assert replica.state.height == 1
    assert replica.role.evidence == {}


def test_who_approved_a_successor_seals_nothing_but_says_again_what_it_sealed():
    """CHAIN-14: started again on a locked header, it owes no seal of its own; one that is durable it may publish."""
    chain = Chain(params=build_params("bsp"))
    chain.close_round()
    model = compute_model(chain.state.closed)
    for validator in range(3):
        chain.ready(validator, model)
    key = chain.validators[0].public_key
    own = chain.build_seal(0, model)
    for sealed, has_approved, owed in ((None, False, 1), (None, True, 0), (own, True, 1)):
        role = rules.build_role(chain.genesis, key, sealed, has_approved=has_approved)
        role = rules.on_aggregated(role, chain.state.closed.height, model)
        owing = [duty.message for duty in rules.get_duties(role, chain.state) if isinstance(duty, Publish)]
        seals = [message for message in owing if isinstance(message, Seal)]
        assert len(seals) == owed
        assert sealed is None or seals == [own]


def test_a_store_is_for_one_chain_or_its_successor():
    """CHAIN-18: the parent's last seal binds nothing on the successor, any other chain's keeps a validator out."""
    old = Chain(params=build_params("bsp"))
    old.play_round()
    child = succeed(old, validators=old.genesis.validators)
    seal = old.state.head.certificate[0]
    assert rules.build_role(old.genesis, seal.validator, seal, has_approved=False).seal == seal
    assert rules.build_role(child, seal.validator, seal, has_approved=False).seal is None
    with pytest.raises(UsageError, match="neither chain"):
        rules.build_role(Chain(salt="other").genesis, seal.validator, seal, has_approved=False)
    later = replace(seal, chain=get_chain_id(child))
    with pytest.raises(UsageError, match="neither chain"):
        rules.build_role(old.genesis, seal.validator, later, has_approved=True)


def test_a_vote_is_due_until_the_log_has_it():
    """ROUND-5: one that was lost on its way is published again, one that the log has never."""
    chain = Chain()
    (replica,) = build_world(chain, silent=3)
    deliver([replica], chain.update(0), chain.update(1))
    replica._perform(next(duty for duty in rules.get_duties(replica.role, replica.state)))
    for duty in [*rules.find_scoring_duties(replica.role, replica.state)]:
        replica._perform(duty)
    role, state = replica.role, replica.state
    batch = rules.build_vote_batch(role, state)
    assert len(batch.votes) == len(role.unlogged) == 2
    assert rules.forget_logged(role, state) is role
    replica._perform(Publish(batch))
    replica.catch_up()
    assert rules.build_vote_batch(role, replica.state) is None
    assert rules.forget_logged(role, replica.state).unlogged == {}
    assert rules.forget_logged(role, replica.state).votes == role.votes
