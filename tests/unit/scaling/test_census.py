"""No update is lost or counted twice: what blocks decide against what the topic holds."""

from __future__ import annotations

import dataclasses

import pytest

from flobc.adapters.memory import MemoryBroker
from flobc.composition.scaling.census import WHOLE_ROUNDS, BlockBook, Fate, Published, UpdateCensus
from flobc.errors import TransientError, VerificationError
from flobc.protocol.chain.block import Closing
from flobc.protocol.messages import UpdateChunk, UpdateHeader, compute_update_id, encode_record
from tests.support.dialogue import Chain, build_params

PATIENCE_S = 30.0
MAX_STALENESS = 4


def build_chain(scheme: str = "bap") -> Chain:
    return Chain(params=build_params(scheme, max_staleness=MAX_STALENESS))


def build_book(chain: Chain) -> BlockBook:
    book = BlockBook(chain.genesis)
    for block in chain.blocks:
        book.add(block)
    return book


def judge(chain: Chain, header: UpdateHeader, at_height: int = 0) -> Fate:
    return build_book(chain).judge(compute_update_id(header), Published(header, {0}, at_height))


def test_an_update_that_a_block_decides() -> None:
    chain = build_chain()
    header = chain.update(0)
    chain.play_round(0, 1)
    assert judge(chain, header) is Fate.DECIDED


def test_an_update_that_may_still_be_decided() -> None:
    chain = build_chain()
    header = chain.update(2)
    chain.play_round(0, 1)
    assert judge(chain, header) is Fate.OPEN


def test_an_update_whose_trainer_was_faster() -> None:
    """ROUND-3: a base that is not newer than the one that was used."""
    chain = build_chain()
    chain.play_round(0, 1)
    header = chain.update(0, base=0, k=1)
    chain.play_round(0, 1)
    assert judge(chain, header) is Fate.OVERTAKEN


@pytest.mark.parametrize(
    ("at_height", "fate"), [(0, Fate.LOST), (MAX_STALENESS - WHOLE_ROUNDS, Fate.LOST), (MAX_STALENESS, Fate.LATE)]
)
def test_an_update_that_grew_too_old_was_late_or_is_lost(at_height: int, fate: Fate) -> None:
    """SYNC-11: it depends on how many whole rounds it was there."""
    chain = build_chain()
    header = chain.update(2)
    for _ in range(MAX_STALENESS + 1):
        chain.play_round(0, 1)
    assert judge(chain, header, at_height) is fate


def test_under_bsp_who_was_waited_for_cannot_be_late() -> None:
    """A round that closed because everybody active was decided cannot lack the update of one who was."""
    chain = build_chain("bsp")
    chain.play_round(0, 1, 2)
    header = chain.update(2)
    block = chain.play_round(0, 1)
    assert block.header.closing is Closing.DEADLINE
    assert judge(chain, header) is Fate.LATE
    book = BlockBook(chain.genesis)
    book.add(chain.blocks[0])
    book.add(dataclasses.replace(block, header=dataclasses.replace(block.header, closing=Closing.COMPLETE)))
    assert book.judge(compute_update_id(header), Published(header, {0}, 1)) is Fate.LOST


def test_invalid_second_decision_in_another_block() -> None:
    """ROUND-12."""
    chain = build_chain()
    first = chain.play_round(0, 1)
    second = chain.play_round(0, 1)
    book = BlockBook(chain.genesis)
    book.add(first)
    with pytest.raises(VerificationError, match=r"height 2 breaks ROUND-12: .* which block 1 decided already"):
        book.add(dataclasses.replace(second, body=first.body))


def test_invalid_second_decision_in_one_block() -> None:
    """ROUND-12."""
    chain = build_chain()
    block = chain.play_round(0, 1)
    twice = dataclasses.replace(block.body, decisions=block.body.decisions * 2)
    with pytest.raises(VerificationError, match="decides an update twice"):
        BlockBook(chain.genesis).add(dataclasses.replace(block, body=twice))


def test_the_book_knows_who_took_part_and_what_was_accepted() -> None:
    chain = build_chain()
    chain.play_round(0, 1)
    chain.play_round(1, 2)
    book = build_book(chain)
    keys = [trainer.public_key for trainer in chain.trainers]
    assert book.list_trainers(1, 1) == frozenset(keys[:2])
    assert book.list_trainers(1, 2) == frozenset(keys)
    assert book.list_trainers(-3, 0) == frozenset()
    assert book.count_accepted(1, 2) == 4


def test_the_census_counts_whole_updates_of_a_topic() -> None:
    chain = build_chain()
    whole, half, forged = chain.update(0), chain.update(1, num_chunks=2), chain.update(2)
    chain.play_round(0, 1)
    records = [encode_record(dataclasses.replace(forged, norm=forged.norm + 1)), b"garbage"]
    for header in (half, whole, forged):
        # a chunk may come before its header
        records += [encode_record(UpdateChunk(compute_update_id(header), 0, (), b"x"))]
        records += [encode_record(header)] if header is not forged else []
    broker = MemoryBroker()
    writer = broker.open("updates", 2)
    with UpdateCensus(broker.open("updates", 2), lambda: 0, from_start=True) as census:
        for value in records:
            writer.append(b"key", value).result(PATIENCE_S)
        census.catch_up(PATIENCE_S)
        fates = census.count_fates(build_book(chain))
    assert fates == {Fate.DECIDED: 1}


def test_updates_from_before_do_not_count_unless_asked_for() -> None:
    chain, broker = build_chain(), MemoryBroker()
    old, new = chain.update(0), chain.update(1)
    chain.play_round(0, 1)
    writer = broker.open("updates")

    def publish(header: UpdateHeader) -> None:
        for record in (header, UpdateChunk(compute_update_id(header), 0, (), b"x")):
            writer.append(b"key", encode_record(record)).result(PATIENCE_S)

    publish(old)
    with UpdateCensus(broker.open("updates"), lambda: 0, from_start=False) as census:
        publish(new)
        census.catch_up(PATIENCE_S)
        assert sum(census.count_fates(build_book(chain)).values()) == 1


def test_a_topic_that_cannot_be_read_in_time_is_said() -> None:
    chain, broker = build_chain(), MemoryBroker()
    topic = broker.open("updates")
    with UpdateCensus(topic, lambda: 0, from_start=True) as census:
        broker.set_away(True)
        with pytest.raises(TransientError, match="could not be read in 0 s"):
            census.catch_up(0.05)
        broker.set_away(False)
    assert census.count_fates(build_book(chain)) == {}
