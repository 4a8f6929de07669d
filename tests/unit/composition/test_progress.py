"""What a service that follows the log counts of the chain, of learning and of those who take part."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from flobc.adapters.prometheus import Metrics
from flobc.composition.services.names import MAX_TRAINERS, TrainerNames, build_validator_names
from flobc.composition.services.progress import Progress
from flobc.composition.services.standing import compute_gini, divide_whole, get_quantile
from flobc.errors import RemoteProtocolError
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.messages import Ready, encode_record, sign
from tests.support.dialogue import Chain, digest
from tests.support.scraping import Samples, add_up, scrape


class Follower:
    """Applies a chain's records one after the other and tells ``Progress``, as services do."""

    def __init__(self, chain: Chain, *, live: bool = True) -> None:
        self.chain = chain
        self.metrics = Metrics()
        self.state = build_initial_state(chain.genesis)
        self.progress = Progress(self.metrics, self.state)
        self.progress.live = live
        self._read = 0

    def catch_up(self) -> Samples:
        """Everything counted, after what the chain's log holds by now."""
        for record in self.chain.log[self._read :]:
            self.take(record)
        self._read = len(self.chain.log)
        return scrape(self.metrics)

    def take(self, record: bytes) -> None:
        before = self.state
        try:
            self.state = apply_record(before, record)
        except RemoteProtocolError as error:
            self.progress.on_refused(before, record, error.rule)
        else:
            self.progress.on_record(before, self.state)


def build_ready(chain: Chain, validator: int, model: bytes) -> bytes:
    """A genuine ready for the newest block, from one that was slow."""
    key = chain.validators[validator]
    header = chain.state.head_digest
    return encode_record(sign(Ready(chain.state.chain, key.public_key, chain.state.height, header, model), key))


def test_blocks_are_counted_by_height_closing_and_outcome() -> None:
    chain = Chain()
    follower = Follower(chain)
    for _ in range(2):
        chain.play_round()
    found = follower.catch_up()
    decided = sum(len(block.body.decisions) for block in chain.blocks)
    assert found["flobc_height", ()] == 2
    assert found["flobc_last_block_timestamp_seconds", ()] > 1e9
    assert found["flobc_round_seconds_count", ()] == 1
    assert add_up(found, "flobc_rounds_closed_total") == 2
    assert add_up(found, "flobc_updates_decided_total") == decided > 0
    assert add_up(found, "flobc_updates_decided_total", reason="accepted") > 0
    assert add_up(found, "flobc_trainer_updates_total", outcome="accepted") > 0
    assert found["flobc_update_staleness_rounds_count", ()] == decided
    assert add_up(found, "flobc_seals_total") == 2 * chain.state.quorum


def test_each_stage_of_a_round_is_measured_once_a_round() -> None:
    chain = Chain()
    follower = Follower(chain)
    for _ in range(3):
        chain.play_round()
    found = follower.catch_up()
    for stage, count in (("collect", 2), ("aggregate", 3), ("seal", 3)):
        # where the first round began nobody knows who was not there
        assert add_up(found, "flobc_round_stage_seconds_count", stage=stage) == count, stage


def test_what_is_read_again_moves_no_counter() -> None:
    chain = Chain()
    chain.play_round()
    follower = Follower(chain, live=False)
    found = follower.catch_up()
    assert found["flobc_height", ()] == 1
    for name in ("flobc_updates_decided_total", "flobc_round_stage_seconds_count", "flobc_seals_total"):
        assert add_up(found, name) == 0, name
    follower.progress.live = True
    chain.play_round()
    assert add_up(follower.catch_up(), "flobc_rounds_closed_total") == 1


def test_a_log_that_is_read_once_more_moves_nothing() -> None:
    """A ledger whose Redis was wiped records every block anew; the chain did not happen twice."""
    chain = Chain()
    follower = Follower(chain)
    for _ in range(3):
        chain.play_round()
    first = follower.catch_up()
    follower.state = build_initial_state(chain.genesis)
    for record in chain.log:
        follower.take(record)
    for name in ("flobc_rounds_closed_total", "flobc_round_stage_seconds_count", "flobc_seals_total", "flobc_height"):
        assert add_up(follower.catch_up(), name) == add_up(first, name) > 0, name
    chain.play_round()
    assert follower.catch_up()["flobc_height", ()] == 4


def test_the_genesis_is_there_to_join_on() -> None:
    found = Follower(Chain(validators=4, trainers=3)).catch_up()
    labels = next(dict(labels) for name, labels in found if name == "flobc_config_info")
    assert (labels["ratio"], labels["sync"], labels["trust"]) == ("3:4", "bap", "flobc_plus")
    assert (found["flobc_validators", ()], found["flobc_quorum", ()]) == (4, 3)


def test_a_silent_validator_is_missed() -> None:
    chain = Chain()
    follower = Follower(chain)
    chain.play_round()  # the first three of four
    assert follower.catch_up()["flobc_validators_heard", ()] == 3


def test_a_validator_that_is_merely_slow_is_heard() -> None:
    """Its ready comes when the others have certified the block already, and is refused (ROUND-13)."""
    chain = Chain()
    follower = Follower(chain)
    chain.play_round()
    follower.catch_up()
    follower.take(build_ready(chain, 3, chain.state.head.header.model))
    chain.play_round()
    found = follower.catch_up()
    assert found["flobc_validators_heard", ()] == 4
    assert add_up(found, "flobc_ready_mismatches_total") == 0
    assert add_up(found, "flobc_records_refused_total", rule="ROUND-13") == 1


def before_the_quorum(chain: Chain) -> bytes | None:
    chain.ready(3, digest("wrong"))
    return None


def after_the_block(chain: Chain) -> bytes | None:
    chain.commit()
    return build_ready(chain, 3, digest("wrong"))


@pytest.mark.parametrize("say", [before_the_quorum, after_the_block])
def test_another_model_than_the_quorums_is_a_mismatch(say: Callable[[Chain], bytes | None]) -> None:
    """A lone different ready is a broken node, whenever it comes (ROUND-14)."""
    chain = Chain()
    follower = Follower(chain)
    chain.close_round()
    late = say(chain)
    if chain.state.closed is not None:
        chain.commit()
    follower.catch_up()
    if late is not None:
        follower.take(late)
    found = follower.catch_up()
    assert found["flobc_ready_mismatches_total", (("validator", "3"),)] == 1
    assert add_up(found, "flobc_ready_mismatches_total") == 1


def test_strangers_and_replayers_are_not_heard() -> None:
    """Anybody may hold old readys, or sign with a key of their own (ROUND-1)."""
    chain = Chain()
    follower = Follower(chain)
    chain.play_round()
    old = build_ready(chain, 3, chain.state.head.header.model)
    for _ in range(2):
        chain.play_round()
    follower.catch_up()
    follower.take(old)
    chain.play_round()
    assert follower.catch_up()["flobc_validators_heard", ()] == 3


def test_evidence_is_counted_by_whom_it_convicts() -> None:
    chain = Chain()
    follower = Follower(chain)
    first, second = chain.update(0), chain.update(0, payload_root=digest("another"))
    chain.send(chain.evidence(first, second))
    chain.close_round(1, 2)
    chain.commit()
    found = follower.catch_up()
    assert found["flobc_evidence_total", (("role", "trainer"),)] == 1


def test_what_validators_find_of_the_model_is_told_one_by_one() -> None:
    chain = Chain()
    follower = Follower(chain)
    chain.report(0, loss=2_000_000, accuracy=100_000)
    chain.report(2, loss=500_000, accuracy=900_000)
    chain.play_round()
    found = follower.catch_up()
    assert found["flobc_validator_loss", (("validator", "0"),)] == 2
    assert found["flobc_validator_accuracy_ratio", (("validator", "2"),)] == pytest.approx(0.9)


def test_scores_weights_and_trust_are_told_as_shares() -> None:
    chain = Chain()
    follower = Follower(chain)
    chain.play_round(score=100_000)
    found = follower.catch_up()
    assert found["flobc_score_ratio", (("quantile", "0.5"),)] == pytest.approx(0.1)
    assert found["flobc_trust_top_share_ratio", (("top", "3"),)] == pytest.approx(1)
    assert found["flobc_weight_top_share_ratio", (("top", "10"),)] == pytest.approx(1)
    assert add_up(found, "flobc_trainer_trust_share_ratio") == pytest.approx(1)
    assert found["flobc_trust_gini_ratio", ()] == pytest.approx(0, abs=0.05)


@pytest.mark.parametrize(("amounts", "gini"), [((5, 5, 5, 5), 0.0), ((0, 0, 0, 9), 0.75), ((1, 3), 0.25), ((7,), 0.0)])
def test_gini_is_0_for_equals_and_grows_with_what_one_holds(amounts: tuple[int, ...], gini: float) -> None:
    assert compute_gini(divide_whole(amounts)) == pytest.approx(gini)


def test_quantiles_are_lower_ones_and_nothing_has_no_shares() -> None:
    assert [get_quantile([1, 2, 3, 4], quantile) for quantile in (0.0, 0.5, 1.0)] == [1, 2, 4]
    assert divide_whole([0, 0]) == []


def test_no_label_grows_with_the_chain() -> None:
    names = TrainerNames()
    keys = [digest("trainer", number) for number in range(10 * MAX_TRAINERS)]
    assert len({names.get(key) for key in keys}) == MAX_TRAINERS + 1
    assert names.get(keys[0]) == keys[0].hex()[:8], "a name once given stays"
    assert len(set(build_validator_names(keys).values())) < len(keys)
