"""What happens to the nodes of a tiny world, each fate alone; every chain is verified as it ends."""

import re

import pytest

from examples.numpy_task import task as numpy_task
from flobc.errors import FlobcError
from flobc.learning.shards import parse_scheme, split_examples
from flobc.learning.task import DataSource
from flobc.runtime.seeds import derive_seed
from tests.support.worlds import TINY, simulate_text

BAP = "run: {trainers: 6, validators: 4, rounds: 6, sync: bap, majority_ratio: 60%, period: 5s}\n"


def test_a_quiet_world_learns() -> None:
    found = simulate_text(TINY)
    rows = found.results.rounds
    assert [row.height for row in rows] == [1, 2, 3]
    assert all((row.accepted, row.rejected, row.awake, row.closing) == (4, {}, 4, "complete") for row in rows)
    assert rows[-1].test_accuracy == found.results.test_accuracy > 0.9
    assert [row.virtual_ms for row in rows] == sorted({row.virtual_ms for row in rows})
    assert found.verified.height == 3
    assert found.verified.head.hex() == found.results.head == rows[-1].head
    assert sum(row.trust_share for row in found.results.trainers) == pytest.approx(1)
    assert [row.accepted for row in found.results.trainers] == [3, 3, 3, 3]


def test_one_seed_gives_one_chain_and_another_one_another() -> None:
    heads = [simulate_text(TINY.replace("rounds", f"seed: {seed}, rounds")).results.head for seed in (1, 1, 2)]
    assert heads[0] == heads[1] != heads[2]


def test_slow_links_and_trainers_cost_virtual_time() -> None:
    quick = simulate_text(TINY).results.virtual_ms
    slow_link = simulate_text(TINY + "network: {trainers: {latency: 1s}}").results.virtual_ms
    slow_work = simulate_text(TINY + "speeds: {training: 3s, variation: 0%}").results.virtual_ms
    assert slow_link > quick + 3 * 2 * 800
    assert slow_work > quick + 3 * 1_500


def test_bsp_waits_for_stragglers_and_bap_does_not() -> None:
    straggling = "speeds: {stragglers: [{share: 20%, factor: 10}]}"
    bsp = simulate_text(BAP.replace("sync: bap, majority_ratio: 60%, period: 5s", "sync: bsp") + straggling)
    bap = simulate_text(BAP + straggling)
    assert bap.results.virtual_ms < bsp.results.virtual_ms / 2
    assert max(row.max_staleness for row in bap.results.rounds) > 0
    assert min(row.training_ms for row in bap.results.trainers) * 9 < max(
        row.training_ms for row in bap.results.trainers
    )


def test_a_crashed_trainer_is_missing_until_it_returns() -> None:
    events = "{at: 1500ms, what: crash, trainers: [0]}, {at: 12s, what: return, trainers: [0]}"
    rows = simulate_text(
        TINY.replace("rounds: 3", "rounds: 8, period: 3s") + f"churn: {{events: [{events}]}}"
    ).results.rounds
    accepted = [row.accepted for row in rows]
    assert accepted[0] == 4
    assert 3 in accepted
    assert accepted[-1] == 4
    assert "deadline" in {row.closing for row in rows}


def test_a_trainer_that_joins_an_open_chain_is_admitted_on_probation() -> None:
    found = simulate_text(
        TINY.replace("rounds: 3", "rounds: 6, period: 3s, admission: open")
        + "churn: {events: [{at: 1500ms, what: join, trainers: [3]}]}"
    )
    late = found.results.trainers[3]
    assert bytes.fromhex(late.key) not in found.state.genesis.trainers
    assert late.accepted >= 2
    assert late.trust_share < min(row.trust_share for row in found.results.trainers[:3])


def test_a_chain_outlives_a_validator_that_crashes_and_catches_up() -> None:
    events = "{at: 1200ms, what: crash, validators: [0]}, {at: 4s, what: return, validators: [0]}"
    found = simulate_text(TINY.replace("rounds: 3", "rounds: 8") + f"churn: {{events: [{events}]}}")
    first = found.state.genesis.validators
    sealed = {seal.validator for seal in found.state.head.certificate}
    assert found.results.height == 8
    assert sealed <= set(first)


def test_nodes_that_crash_again_and_again_stop_nothing() -> None:
    rates = "{trainers: 50%, crash_every: 2s, back_after: 500ms}, {validators: [1], crash_every: 3s, back_after: 1s}"
    assert simulate_text(BAP + f"churn: {{rates: [{rates}]}}").results.height == 6


def test_a_partition_holds_its_nodes_back_and_nobody_else() -> None:
    cut = "partitions: [{from: 1s, to: 8s, trainers: [0, 1], validators: [3]}]"
    found = simulate_text(BAP.replace("rounds: 6", "rounds: 9") + cut)
    rows = found.results.rounds
    during = [row for row in rows if 2_000 < row.virtual_ms < 8_000]
    assert during
    assert all(row.accepted <= 4 for row in during)
    assert all(found.results.trainers[index].accepted for index in (0, 1))


def test_without_a_quorum_the_chain_stops_and_says_so() -> None:
    silent = TINY.replace("rounds: 3", "rounds: 3, time_limit: 2min") + "attacks: {validators: [silent@0.5]}"
    with pytest.raises(FlobcError, match=re.escape("2 of 4 validators voted in the open round, but 3 must")):
        simulate_text(silent)


def test_one_dishonest_validator_of_four_changes_no_outcome() -> None:
    for attack in ("silent", "random"):
        found = simulate_text(TINY + f"attacks: {{validators: [{attack}@0.25]}}")
        assert [row.accepted for row in found.results.rounds] == [4, 4, 4]


def test_attacking_trainers_are_those_with_the_highest_numbers() -> None:
    found = simulate_text(BAP + "attacks: {trainers: ['sign_flip:factor=5@0.34']}")
    assert [row.attack for row in found.results.trainers] == [""] * 4 + ["sign_flip"] * 2
    assert sum(row.rejected for row in found.results.trainers[4:]) >= 4
    assert {"low_score"} <= {reason for row in found.results.rounds for reason in row.rejected}


def test_validators_whose_clocks_are_off_agree_all_the_same() -> None:
    found = simulate_text(TINY + "clocks: {drift: 30%, offset: 1min}")
    assert [row.accepted for row in found.results.rounds] == [4, 4, 4]


def test_only_a_share_is_awake_and_takes_turns() -> None:
    found = simulate_text(
        "run: {trainers: 40, validators: 4, rounds: 6, sync: bsp, period: 4s, participation: 10%}\n"
        "speeds: {training: 1s}"
    )
    rows = found.results.rounds
    assert all(row.accepted <= 4 for row in rows)
    assert max(row.awake for row in rows) <= 8
    trained = [row.trainer for row in found.results.trainers if row.accepted]
    assert 10 < len(trained) < 30


def test_lost_doubled_and_reordered_messages_change_no_record_twice() -> None:
    rough = "network: {loss: 20%, retry: 100ms, duplication: 50%, reordering: 50%, held_back: 200ms}"
    found = simulate_text(BAP + rough)
    assert found.verified.rejected_records > 0
    assert all(row.accepted for row in found.results.rounds)


def test_shards_are_those_of_a_run() -> None:
    found = simulate_text(TINY + "data: {sharding: 'dirichlet:0.3'}")
    sizes = [row.examples for row in found.results.trainers]
    assert sum(sizes) == 300
    assert len(set(sizes)) > 1
    splits = numpy_task.load(DataSource(None))
    dealt = split_examples(splits.train, 4, parse_scheme("dirichlet:0.3"), derive_seed(0, "train shards"))
    assert sizes == [len(shard) for shard in dealt]
