"""Whole chains of services, threads and all, without a server: only the log and the updates topic join them."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.adapters.memory import MemoryLog, MemorySeals
from flobc.composition.settings import RunSettings
from flobc.errors import FlobcError
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.messages import Join, Seal, UpdateChunk, compute_update_id, decode_record, encode_record, sign
from flobc.runtime.follower import ChainFollower
from tests.support.dialogue import build_params, identity
from tests.support.payloads import build_payload
from tests.support.services import TASK, ServiceWorld, wait_until

ROUNDS = 3


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceWorld]:
    scheme = getattr(request, "param", "bsp")
    params = build_params(scheme, period_ms=4_000)
    settings = RunSettings(task=TASK, trainers=3, validators=4, params=params, chunk_size=4, seed=3)
    made = ServiceWorld(settings, tmp_path)
    yield made
    made.stop()


def require_one_chain(world: ServiceWorld, height: int) -> None:
    """All who run agree with each other and with the log; what the ledger holds is what the log makes."""
    # The chain goes on meanwhile: whatever somebody has now is in a log that is read later.
    blocks = world.get_blocks()
    found = [service._follower.state.head for _, service in world.validators.values()]
    told = [light.state.head.header for light in world.followers.values()]
    log = MemoryLog()
    for record in world.read_log():
        log.append(record)
    heads: dict[int, Block] = {}
    follower = ChainFollower(
        log, build_initial_state(world.genesis), lambda state: heads.update({state.height: state.head})
    )
    follower.catch_up()
    assert len(blocks) >= height
    for block in blocks:
        assert encode(block) == encode(heads[block.height])
        assert world.states.get(block.header.state) is not None
    for head in found:
        assert head.height == 0 or encode(head) == encode(heads[head.height])
    for header in told:
        assert header == heads[header.height].header
    assert any(decision.weight for block in blocks for decision in block.accepted), "nobody's work was used"


@pytest.mark.parametrize("world", ["bsp", "ssp", "bap"], indirect=True)
def test_services_make_one_chain(world: ServiceWorld) -> None:
    world.start()
    world.wait_for_height(ROUNDS)
    require_one_chain(world, ROUNDS)


def test_a_validator_that_comes_back_catches_up(world: ServiceWorld) -> None:
    """Three of four make a quorum: the chain goes on without one, and one that is back is as good as before."""
    world.start()
    world.wait_for_height(1)
    world.stop_validator(3)
    world.wait_for_height(2)
    world.start_validator(3)
    world.stop_validator(2)
    world.wait_for_height(4)
    require_one_chain(world, 4)


def test_a_broker_that_is_away_for_a_while_stops_nobody(world: ServiceWorld, caplog: pytest.LogCaptureFixture) -> None:
    world.start()
    world.wait_for_height(1)
    world.broker.set_away(True)
    wait_until(lambda: caplog.text.count("it is away") >= 3 * len(world.validators), "everybody's trying in vain")
    height = world.get_height(0)
    world.broker.set_away(False)
    world.wait_for_height(height + 2)
    require_one_chain(world, height + 2)


def test_what_strangers_write_changes_nothing(world: ServiceWorld) -> None:
    """Junk on both topics, chunks of nobody's updates, a forged update and a request that breaks the rules."""
    topics = world.open_topics()
    stranger = identity("stranger")
    forged = build_payload(trainer=9)
    chain = build_initial_state(world.genesis).chain
    join = sign(Join(chain, stranger.public_key, None), stranger)
    unsigned = dataclasses.replace(join, signature=bytes(64))
    junk = [
        b"\xff junk",
        encode_record(forged.header),
        encode_record(UpdateChunk(bytes(32), 0, (), b"chunk")),
        encode_record(join),
        encode_record(unsigned),
    ]
    for record in junk:
        topics.updates.append(b"a", record)
        topics.log.append(b"", record)
    world.start()
    world.wait_for_height(2)
    require_one_chain(world, 2)
    for _, service in world.validators.values():
        assert stranger.public_key not in service._follower.state.core.trainers
        assert compute_update_id(forged.header) not in service._receiver._begun
    log = world.read_log()
    assert log.count(encode_record(unsigned)) == 1, "a request that cannot succeed is not brought into the log"
    assert log.count(encode_record(join)) == 1


class FullDisk(MemorySeals):
    """Seals that cannot be kept."""

    def save(self, seal: Seal) -> None:
        raise FlobcError("the disk is full")


def test_a_failing_store_ends_the_service_that_has_it(world: ServiceWorld) -> None:
    """ROUND-15: what could not be kept is not published, and three of four go on."""
    world.validator_seals[3] = FullDisk()
    world.start()
    thread, service = world.validators.pop(3)
    wait_until(lambda: "the disk is full" in str(thread.error), "the validator's end")
    world.wait_for_height(2)
    require_one_chain(world, 2)
    sealed = [record for record in map(decode_record, world.read_log()) if isinstance(record, Seal)]
    key = world.federation.validators[3].public_key
    assert sealed
    assert all(seal.validator != key for seal in sealed)
    service.stop()


@pytest.mark.parametrize("keeps", [True, False])
def test_a_validator_that_comes_back_drops_what_was_settled_before(world: ServiceWorld, keeps: bool) -> None:
    """ROUND-3: an update on too old a base is never voted on; unless all are kept, each restart would leave some."""
    world.keep_payloads = keeps
    settled = build_payload(trainer=9)
    update = compute_update_id(settled.header)
    world.start()
    world.wait_for_height(2)
    world.stop_validator(3)
    world.validator_payloads[3].put(update, settled)
    world.start_validator(3)
    height = world.blocks.height
    world.wait_for_height(height + 2)
    wait_until(lambda: world.validators[3][1]._is_looked_over, "its look at what it held")
    assert (world.validator_payloads[3].get(update) is not None) == keeps
