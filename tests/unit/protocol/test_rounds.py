"""The rules of a round, each as a short dialogue (spec/ROUND.md)."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.protocol.chain.block import Closing, compute_header_digest
from flobc.protocol.median import compute_lower_median
from flobc.protocol.messages import (
    NO_SIGNATURE,
    Fault,
    Ready,
    Seal,
    Timeout,
    UpdateChunk,
    Vote,
    VoteBatch,
    compute_update_id,
    sign,
)
from flobc.protocol.params import SCORE_ONE, ScoringParams
from flobc.protocol.scoring import LOSS_LIMIT, compute_score
from tests.support.dialogue import Chain, build_params, digest, identity

GOOD = 100_000
MODEL = digest("model")
EVERYBODY = build_params(majority_ratio_ppm=1_000_000)


# Who may speak, and of what (ROUND-1 to ROUND-3).


def test_invalid_senders():
    """ROUND-1, WIRE-9: strangers, trainers in a validator's place, forgers and other chains."""
    chain, other = Chain(), Chain(salt="b")
    update = chain.update(0)
    for stranger in (identity("stranger"), chain.trainers[0]):
        batch = replace(chain.build_vote(0, update), validator=stranger.public_key)
        with chain.refuses("ROUND-1"):
            chain.say(batch, stranger)
        with chain.refuses("ROUND-1"):
            chain.timeout(stranger)
    with chain.refuses("WIRE-9"):
        chain.say(chain.build_vote(0, update), chain.validators[1])
    with chain.refuses("WIRE-9"):
        chain.send(chain.build_vote(0, update))
    with chain.refuses("WIRE-9"):
        chain.send(other.vote(0, other.update(0)))


@pytest.mark.parametrize(
    "changes",
    [
        {"chain": digest("other chain")},
        {"trainer": identity("stranger")},
        {"base": 1},
        {"base": 2**64 - 1},
        {"k": 3},
        {"codec": "float32"},
        {"num_chunks": 2},
        {"num_examples": 0},
        {"size_bytes": 17},
    ],
    ids="_".join,
)
def test_invalid_update_headers_enter_nothing(changes):
    """ROUND-1 (chain, member), ROUND-2 (form), ROUND-3 (base, k); the vote on such an update does not count."""
    chain = Chain()
    with chain.refuses("ROUND-5"):
        chain.vote(0, chain.update(**{"trainer": 0, **changes}))


def test_invalid_update_header_that_its_trainer_did_not_sign():
    """WIRE-9, ROUND-1: a validator cannot speak for a trainer."""
    chain = Chain()
    with chain.refuses("ROUND-5"):
        chain.vote(0, replace(chain.update(0), signature=NO_SIGNATURE))
    with chain.refuses("ROUND-5"):
        chain.vote(0, replace(chain.update(0), norm=7))


def test_an_identity_has_one_header():
    """ROUND-2: the first in the log stands; another one for the same (trainer, base, k) enters nothing."""
    chain = Chain()
    chain.vote(0, chain.update(0, norm=1), GOOD)
    with chain.refuses("ROUND-5"):
        chain.vote(1, chain.update(0, norm=2), GOOD)
    chain.vote(1, chain.update(0, norm=2, k=1), GOOD)
    assert len(chain.state.core.pending) == 2


def test_an_update_is_named_without_its_signature():
    """ROUND-2: signing the same claim again makes no second update."""
    update = Chain().update(0)
    assert compute_update_id(replace(update, signature=b"s" * 64)) == compute_update_id(update)
    assert compute_update_id(replace(update, norm=7)) != compute_update_id(update)


def test_the_next_base_is_newer_than_the_one_last_used():
    """ROUND-3: an update is cumulative, so one from the same base would be counted twice."""
    chain = Chain(params=build_params(max_staleness=4))
    chain.play_round(0, 1, 2)
    used = {index for index, reason in chain.outcomes() if reason == "ACCEPTED"}
    for trainer in used:
        with chain.refuses("ROUND-5"):
            chain.vote(0, chain.update(trainer, base=0, k=1))
    chain.vote(0, chain.update(min(used), base=1))


def test_a_base_may_be_stale_but_not_too_stale():
    """ROUND-3, SYNC-11."""
    chain = Chain(trainers=4, params=build_params(max_staleness=2))
    for _ in range(2):
        chain.play_round(0, 1, 2)
    chain.vote(0, chain.update(3, base=0))
    chain.play_round(0, 1, 2)
    with chain.refuses("ROUND-5"):
        chain.vote(0, chain.update(3, base=0, k=1))
    assert not chain.state.core.pending


# Votes (ROUND-4 to ROUND-6).


def test_what_does_not_apply_in_a_batch_is_skipped_alone():
    """ROUND-4: its sender may be honest and late."""
    chain = Chain()
    good, bad = chain.update(0), chain.update(1, num_examples=0)
    votes = tuple(Vote(compute_update_id(item), GOOD, Fault.NONE, 1) for item in (bad, good))
    key = chain.validators[0].public_key
    chain.say(VoteBatch(chain.state.chain, key, None, (bad, good), votes), chain.validators[0])
    assert list(chain.state.core.pending) == [compute_update_id(good)]


def test_a_header_enters_only_with_a_vote_on_it():
    """ROUND-5."""
    chain = Chain()
    voted, other = chain.update(0), chain.update(1)
    batch = replace(chain.build_vote(0, voted), headers=(other,))
    with chain.refuses("ROUND-5"):
        chain.say(batch, chain.validators[0])


def test_invalid_oversize_batches():
    """ROUND-5: more votes than the genesis allows, or more headers than votes."""
    chain = Chain(params=build_params(max_votes_per_batch=2, quota=3))
    key = chain.validators[0].public_key
    updates = tuple(chain.update(0, k=k) for k in range(3))
    votes = tuple(Vote(compute_update_id(item), GOOD, Fault.NONE, 1) for item in updates)
    for batch in (
        VoteBatch(chain.state.chain, key, None, updates, votes),
        VoteBatch(chain.state.chain, key, None, updates[:2], votes[:1]),
    ):
        with chain.refuses("ROUND-5"):
            chain.say(batch, chain.validators[0])


def test_the_first_vote_counts():
    """ROUND-5: a second vote on the same update changes nothing."""
    chain = Chain()
    update = chain.update(0)
    chain.vote(0, update, GOOD)
    with chain.refuses("ROUND-5"):
        chain.vote(0, update, -GOOD)


@pytest.mark.parametrize(
    ("score", "fault"),
    [(1, Fault.NONE), (SCORE_ONE + 1000, Fault.NONE), (-2 * SCORE_ONE, Fault.NONE), (0, Fault.NON_FINITE)],
)
def test_invalid_votes(score, fault):
    """ROUND-6: not rounded, out of range, or a fault with a score of its own; such a vote does not count."""
    chain = Chain(params=build_params(score_step=1000))
    update = chain.update(0)
    chain.vote(1, update)
    vote = Vote(compute_update_id(update), score, fault, 1)
    batch = VoteBatch(chain.state.chain, chain.validators[0].public_key, None, (), (vote,))
    with chain.refuses("ROUND-5"):
        chain.say(batch, chain.validators[0])


def test_a_report_counts_once_a_height_and_for_the_open_height_only():
    """ROUND-5."""
    chain = Chain()
    chain.report(0, loss=5)
    with chain.refuses("ROUND-5"):
        chain.report(0, loss=6)
    with chain.refuses("ROUND-5"):
        chain.report(1, loss=6, height=1)


evaluations = st.tuples(st.integers(0, 2 * LOSS_LIMIT), st.integers(0, SCORE_ONE))


@given(
    st.sampled_from(["loss", "accuracy"]),
    st.integers(1, SCORE_ONE),
    st.integers(-1, 2 * LOSS_LIMIT),
    evaluations,
    evaluations,
)
def test_every_score_is_one_that_the_chain_counts(metric, step, unit, base, candidate):
    """ROUND-6: in range, rounded to the step, and of the opposite sign when better and worse change places."""
    params = ScoringParams(metric=metric, score_step=step)
    score = compute_score(params, unit, base, candidate)
    assert abs(score) <= SCORE_ONE
    assert score % step == 0
    if metric == "accuracy":
        assert compute_score(params, unit, candidate, base) == -score
    if candidate == base:
        assert score == 0


def test_scores_by_hand():
    """ROUND-6: a decrease in units of the untrained model's loss, or of the base's where that is larger."""
    params = ScoringParams(metric="loss", score_step=1000)
    assert compute_score(params, 2_000_000, (1_000_000, 0), (800_000, 0)) == 100_000
    assert compute_score(params, 500_000, (1_000_000, 0), (800_000, 0)) == 200_000
    assert compute_score(params, 2_000_000, (1_000_000, 0), (LOSS_LIMIT, 0)) == -1_000_000
    assert compute_score(params, 0, (0, 0), (0, 0)) == 0
    accuracy = ScoringParams(metric="accuracy", score_step=1000)
    assert compute_score(accuracy, 0, (0, 500_000), (0, 480_500)) == -20_000


# Bounds and faults (ROUND-7, ROUND-8).


def bound(chain: Chain) -> int:
    return chain.state.core.norm_bounds[chain.state.core.height]


def play_with_norms(chain: Chain, *norms: int) -> None:
    for trainer, norm in enumerate(norms):
        chain.votes(chain.update(trainer, norm=norm), GOOD, GOOD, GOOD)
    while chain.state.closed is None:
        chain.expire()
    chain.commit()


def test_the_norm_bound_follows_the_median_accepted_norm():
    """ROUND-7."""
    chain = Chain(params=replace(EVERYBODY, aggregation=build_params(norm_cap=500).aggregation))
    assert bound(chain) == 500
    play_with_norms(chain, 100, 300, 200)
    assert bound(chain) == 4 * 200
    play_with_norms(chain, 500, 700, 600)
    assert bound(chain) == 4 * 600


def test_tiny_updates_cannot_make_honest_ones_faulty():
    """ROUND-7: the bound halves at most, and never falls to 0, which would be none at all."""
    chain = Chain(params=EVERYBODY)
    play_with_norms(chain, 1000, 1000, 1000)
    assert bound(chain) == 4000
    play_with_norms(chain, 0, 0, 1000)
    assert bound(chain) == 2000
    for _ in range(20):
        play_with_norms(chain, 0, 0, 0)
    assert bound(chain) == 1


def test_fast_trainers_with_tiny_updates_cannot_shut_the_others_out():
    """ROUND-7, ROUND-8: whoever sets the first bound; norms above it raise it, and are rejections only."""
    chain = Chain(trainers=5, params=EVERYBODY)
    play_with_norms(chain, 1, 1, 1, 1000, 1000)
    assert bound(chain) == 4
    before = chain.trust(4)
    for trainer in (0, 1):
        chain.votes(chain.update(trainer, norm=1), GOOD, GOOD, GOOD)
    honest = [chain.update(trainer, norm=1000) for trainer in (2, 3, 4)]
    for update in honest:
        chain.faults(update, Fault.NORM_BOUND, Fault.NORM_BOUND, Fault.NORM_BOUND)
    while chain.state.closed is None:
        chain.expire()
    block = chain.commit()
    assert sorted(item.fault for item in block.body.decisions)[-3:] == [Fault.NORM_BOUND] * 3
    assert bound(chain) == 4000
    assert chain.trust(4) >= before - 1
    assert chain.state.core.trust.entries[chain.trainers[4].public_key].probation == 0


def test_the_largest_norm_there_is_stops_no_replica():
    """ROUND-7, CHAIN-10: whatever a quorum votes, the next state can be encoded."""
    chain = Chain(params=build_params(norm_factor_ppm=2**32 - 1))
    play_with_norms(chain, 2**64 - 1, 2**64 - 1)
    assert bound(chain) == 2**64 - 1


def test_no_bound_without_a_factor():
    """ROUND-7."""
    chain = Chain(params=build_params(norm_factor_ppm=0))
    play_with_norms(chain, 1000, 1000)
    assert bound(chain) == 0


def test_a_fault_needs_a_majority_of_the_votes():
    """ROUND-8, ROUND-10: the fault's code is the lower median of those named."""
    chain = Chain(trainers=2, params=EVERYBODY)
    one, two = chain.update(0), chain.update(1)
    chain.faults(one, Fault.NORM_MISMATCH, Fault.NORM_MISMATCH)
    chain.vote(3, one, GOOD)
    chain.faults(two, Fault.NON_FINITE)
    chain.vote(2, two, GOOD)
    chain.vote(3, two, GOOD)
    first, second = chain.commit().body.decisions
    assert (first.reason.name, first.fault, first.score) == ("FAULT", Fault.NORM_MISMATCH, -SCORE_ONE)
    assert (second.reason.name, second.fault, second.score) == ("ACCEPTED", Fault.NONE, GOOD)


# Decisions and the close (ROUND-9 to ROUND-12).


def test_an_update_is_decided_by_a_quorum():
    """ROUND-9, SYNC-4."""
    chain = Chain(trainers=1)
    update = chain.update(0)
    chain.votes(update, GOOD, GOOD)
    assert chain.state.closed is None
    chain.vote(2, update, GOOD)
    assert chain.state.closed is not None


@given(st.lists(st.integers(-1000, 1000), min_size=1, max_size=12))
def test_the_lower_median(values):
    """ROUND-10: half of the values are at least as large, and fewer than half smaller than it."""
    median = compute_lower_median(values)
    assert median in values
    assert 2 * sum(value >= median for value in values) > len(values)
    assert 2 * sum(value <= median for value in values) >= len(values)


@given(st.integers(1, 5), st.data())
def test_few_liars_never_move_a_median_out_of_the_honest_range(liars, data):
    """ROUND-10: for every number of votes from a quorum of 3f + 1 upwards."""
    size = data.draw(st.integers(2 * liars + 1, 3 * liars + 1))
    honest = data.draw(st.lists(st.integers(-100, 100), min_size=size - liars, max_size=size - liars))
    lies = data.draw(st.lists(st.integers(-SCORE_ONE, SCORE_ONE), min_size=liars, max_size=liars))
    assert min(honest) <= compute_lower_median(honest + lies) <= max(honest)


def test_accepted_down_to_the_tolerance():
    """ROUND-10."""
    chain = Chain(params=replace(EVERYBODY, scoring=ScoringParams(accept_tolerance=20_000)))
    for trainer, score in enumerate((-20_000, -21_000, 0)):
        chain.votes(chain.update(trainer), score, score, score)
    chain.commit()
    assert chain.outcomes() == [(0, "ACCEPTED"), (1, "LOW_SCORE"), (2, "ACCEPTED")]


def test_only_a_trainers_newest_accepted_update_is_used():
    """ROUND-11: a lower-scoring newer one counts, a rejected newer one does not."""
    chain = Chain(trainers=3, params=EVERYBODY)
    for trainer, k, score in ((0, 0, GOOD), (0, 1, 0), (1, 0, GOOD), (1, 1, -900_000), (2, 0, GOOD)):
        chain.votes(chain.update(trainer, k=k), score, score, score)
    block = chain.commit()
    weights = [
        (*outcome, item.weight > 0) for outcome, item in zip(chain.outcomes(), block.body.decisions, strict=True)
    ]
    assert weights == [
        (0, "SUPERSEDED", False),
        (0, "ACCEPTED", True),
        (1, "ACCEPTED", True),
        (1, "LOW_SCORE", False),
        (2, "ACCEPTED", True),
    ]


def test_nothing_accepted_still_makes_a_block():
    """ROUND-12: the decisions are on record, the weights are 0."""
    chain = Chain()
    block = chain.play_round(score=-900_000)
    assert {reason for _, reason in chain.outcomes()} == {"LOW_SCORE"}
    assert all(item.weight == 0 for item in block.body.decisions)
    assert chain.state.core.trainers[chain.trainers[0].public_key].last_used_base == -1


def test_the_outcome_is_frozen_at_the_closing_record():
    """ROUND-12: later votes and joins change the next round, never the closed one."""
    chain = Chain(trainers=4, params=build_params(mode="open"))
    for trainer in range(3):
        if chain.state.closed is None:
            chain.votes(chain.update(trainer), GOOD, GOOD, GOOD)
    closed, late = chain.state.closed, chain.update(3, base=0)
    chain.votes(late, GOOD, GOOD, GOOD)
    chain.join(identity("newcomer"))
    assert chain.state.closed == closed
    assert closed.template.closing_position < chain.state.core.position
    assert compute_update_id(late) in chain.state.core.pending
    block = chain.commit()
    assert late not in block.body.headers
    assert chain.state.closed is None


def test_undecided_updates_carry_over():
    """ROUND-12."""
    chain = Chain(trainers=4, params=build_params(max_staleness=3))
    slow = chain.update(3)
    chain.vote(3, slow, GOOD)
    chain.play_round(0, 1, 2)
    chain.votes(slow, GOOD, GOOD)
    chain.play_round(0, 1, 2)
    decision = next(item for item in chain.blocks[-1].body.decisions if item.update == compute_update_id(slow))
    assert (decision.base_height, decision.staleness, decision.discount) == (0, 1, 2**15)


def test_a_seal_may_close_the_next_round_at_once():
    """ROUND-12, ROUND-16: what was decided while the block waited for its seals closes at the commit."""
    chain = Chain(trainers=2, params=build_params(majority_ratio_ppm=500_000))
    chain.close_round(0)
    chain.votes(chain.update(1, base=0), GOOD, GOOD, GOOD)
    assert chain.state.closed.height == 1
    chain.commit()
    assert (chain.state.height, chain.state.closed.height) == (1, 2)


def test_a_block_says_how_it_closed_and_what_the_validators_saw():
    """ROUND-12: the lower medians of the reports on the model that the round started from."""
    chain = Chain()
    for validator, loss in enumerate((40, 10, 30, 20)):
        chain.report(validator, loss, accuracy=loss * 10)
    header = chain.play_round().header
    assert (header.closing, header.step) == (Closing.MAJORITY, 0)
    assert (header.loss, header.accuracy) == (20, 200)
    chain.close_round(0)
    header = chain.commit().header
    assert (header.closing, header.step, header.loss) == (Closing.DEADLINE, 1, None)


def test_the_untrained_models_loss_is_kept_as_the_unit_of_scores():
    """ROUND-6, ROUND-12."""
    chain = Chain()
    for height in (0, 1):
        chain.report(0, loss=1000 - height)
        chain.play_round()
        assert chain.state.core.initial_loss == 1000


# Ready, seal, commit (ROUND-13 to ROUND-16).


def test_readys_may_change_until_a_quorum_agrees():
    """ROUND-13, ROUND-14: the last one counts, so a wrong node can be mended; then the header is locked."""
    chain = Chain()
    chain.close_round()
    chain.ready(0, MODEL)
    chain.ready(1, digest("wrong"))
    chain.ready(2, MODEL)
    assert chain.state.closed.locked is None
    with chain.refuses("ROUND-13"):
        chain.ready(0, MODEL)
    chain.ready(1, MODEL)
    assert chain.state.closed.locked == MODEL
    with chain.refuses("ROUND-14"):
        chain.ready(3, MODEL)
    with chain.refuses("ROUND-14"):
        chain.ready(0, digest("wrong"))


def test_invalid_readys():
    """ROUND-13: no closed round, another height, or a header that does not follow from the log."""
    chain = Chain()
    who = chain.validators[0]
    ready = Ready(chain.state.chain, who.public_key, 1, digest("header"), MODEL)
    with chain.refuses("ROUND-13"):
        chain.say(ready, who)
    chain.close_round()
    for wrong in (ready, replace(ready, height=2)):
        with chain.refuses("ROUND-13"):
            chain.say(wrong, who)


def test_seals_count_for_the_locked_header_only():
    """ROUND-15."""
    chain = Chain()
    chain.close_round()
    with chain.refuses("ROUND-15"):
        chain.seal(0, MODEL)
    for validator in range(3):
        chain.ready(validator, MODEL)
    with chain.refuses("ROUND-15"):
        chain.seal(0, digest("wrong"))
    chain.seal(0, MODEL)
    with chain.refuses("ROUND-15"):
        chain.seal(0, MODEL)
    with chain.refuses("ROUND-13"):
        chain.say(Seal(chain.state.chain, chain.validators[1].public_key, 2, digest("h")), chain.validators[1])


def test_the_quorums_last_seal_commits():
    """ROUND-16: any quorum will do, ready or not; the certificate is in ascending order of keys."""
    chain = Chain()
    chain.close_round()
    header = chain.state.closed.build_header(MODEL)
    for validator in (0, 1, 2):
        chain.ready(validator, MODEL)
    for validator in (3, 1):
        chain.seal(validator, MODEL)
    assert chain.state.height == 0
    chain.seal(0, MODEL)
    assert chain.state.head.header == header
    assert chain.state.head_digest == compute_header_digest(header)
    keys = [seal.validator for seal in chain.state.head.certificate]
    assert keys == sorted(chain.validators[i].public_key for i in (0, 1, 3))
    with chain.refuses("ROUND-13"):
        chain.send(sign(Seal(chain.state.chain, chain.validators[2].public_key, 1, header.state), chain.validators[2]))


# Timers (ROUND-17).


def test_a_quorum_of_timeouts_moves_the_step():
    """ROUND-17, SYNC-5."""
    chain = Chain()
    chain.timeout(0)
    chain.timeout(1)
    assert chain.state.core.step == 0
    chain.timeout(2)
    assert (chain.state.core.step, chain.state.core.timeouts) == (1, ())


def test_invalid_timeouts():
    """ROUND-17: twice, for another step or height, or while a block waits for its seals."""
    chain = Chain()
    chain.timeout(0)
    with chain.refuses("ROUND-17"):
        chain.timeout(0)
    for height, step in ((0, 0), (2, 0), (1, 1)):
        with chain.refuses("ROUND-17"):
            chain.timeout(1, height=height, step=step)
    chain.close_round()
    who = chain.validators[3]
    for height in (1, 2):
        with chain.refuses("ROUND-17"):
            chain.say(Timeout(chain.state.chain, who.public_key, height, 0), who)


def test_payloads_are_no_records_of_the_log():
    """WIRE-12."""
    chain = Chain()
    update = chain.update(0)
    for record in (update, UpdateChunk(compute_update_id(update), 0, (), b"payload")):
        with chain.refuses("WIRE-12"):
            chain.send(record)
