"""Several trainers in one process, and what a trainer signs after it lost its memory or its ledger lost its own."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
import urllib.request
from collections.abc import Iterator
from concurrent.futures import Future
from pathlib import Path

import pytest

from flobc.adapters.memory import MemoryBroker, MemoryLedgerPeer
from flobc.composition.services.parts import UPDATE_PARTITIONS, Topics
from flobc.composition.services.trainer import TrainerHost, recall_headers
from flobc.composition.settings import RunSettings
from flobc.errors import RemoteProtocolError
from flobc.protocol.messages import UpdateHeader, decode_record
from flobc.runtime.light_follower import LightFollower
from tests.support.dialogue import build_params
from tests.support.services import TASK, Service, ServiceWorld, wait_until

TRAINERS = (0, 1, 2)
OTHER_SEED = 77
SHORT_MS, ENDLESS_MS = 2_000, 600_000
STOP_S = 5.0


@pytest.fixture
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ServiceWorld]:
    scheme, period_ms = getattr(request, "param", ("bsp", SHORT_MS))
    params = build_params(scheme, period_ms=period_ms, quota=2, majority_ratio_ppm=1_000_000)
    made = ServiceWorld(RunSettings(task=TASK, trainers=3, validators=4, params=params, chunk_size=4, seed=3), tmp_path)
    for index in range(4):
        made.start_validator(index)
    made.start_ledger()
    yield made
    made.stop()


def list_headers(world: ServiceWorld) -> list[UpdateHeader]:
    """Every update header of the updates topic."""
    topic = world.open_topics().updates
    topic.seek(dict.fromkeys(range(UPDATE_PARTITIONS), 0))
    found = []
    for entry in topic.read(0.0):
        try:
            record = decode_record(entry.value)
        except RemoteProtocolError:
            continue
        if isinstance(record, UpdateHeader):
            found.append(record)
    return found


def require_no_conflict(world: ServiceWorld) -> None:
    """ROUND-2: nobody signed two headers of one identity, and no block convicts anybody."""
    signed: dict[tuple[bytes, int, int], UpdateHeader] = {}
    for header in list_headers(world):
        assert signed.setdefault((header.trainer, header.base_height, header.k), header) == header
    assert not any(block.body.evidence for block in world.get_blocks())


@pytest.mark.parametrize("joint", [False, True])
@pytest.mark.parametrize("world", [("bsp", SHORT_MS), ("bap", SHORT_MS)], indirect=True)
def test_three_trainers_of_one_process_make_a_chain(world: ServiceWorld, joint: bool) -> None:
    world.start_trainers(TRAINERS, joint=joint)
    world.wait_for_height(2)
    keys = {identity.public_key for identity in world.federation.trainers}
    assert {header.trainer for header in list_headers(world) if header.base_height == 0} == keys
    require_no_conflict(world)
    assert read_metrics(world)["flobc_ready"] == 1


def read_metrics(world: ServiceWorld) -> dict[str, float]:
    """What the first process of trainers serves to Prometheus."""
    metrics = world.trainers[0].loop.metrics
    address = metrics.serve("127.0.0.1:0")
    with contextlib.closing(metrics), urllib.request.urlopen(f"http://{address}/metrics") as answer:
        lines = answer.read().decode().splitlines()
    return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}


def restart_trainers(world: ServiceWorld, indices: tuple[int, ...], *, has_volume: bool) -> None:
    """Start the stopped trainers with another seed, so that what they train again differs, and let them begin."""
    if not has_volume:
        for index in indices:
            world.lose_volume(index)
    world.start_trainers(indices, seed=OTHER_SEED)
    wait_until(lambda: 0 in world.followers and world.followers[0].caught_up, "the trainers' start")
    steps: list[int] = []
    for _ in range(2):  # the second one is handled after a step
        world.trainers[0].loop.scheduler.post(lambda: steps.append(1))
    wait_until(lambda: len(steps) == 2, "a step of the trainers")


@pytest.mark.parametrize("world", [("bsp", ENDLESS_MS), ("bap", ENDLESS_MS)], indirect=True)
@pytest.mark.parametrize("has_volume", [True, False])
def test_a_restart_goes_on_and_signs_nothing_twice(world: ServiceWorld, has_volume: bool) -> None:
    """The round waits for a third trainer, so what the two signed last is still the head's when they are back."""
    two = TRAINERS[:2]
    world.start_trainers(two)
    keys = {world.federation.trainers[index].public_key for index in two}
    wait_until(lambda: {header.trainer for header in list_headers(world)} == keys, "two updates")
    world.stop_trainers(0)
    restart_trainers(world, two, has_volume=has_volume)
    world.start_trainer(2)
    world.wait_for_height(2)
    require_no_conflict(world)


@pytest.mark.parametrize("has_volume", [True, False])
def test_a_wiped_ledger_makes_nobody_sign_an_old_base_again(world: ServiceWorld, has_volume: bool) -> None:
    """The trainers come back before the ledger does: they are shown height 0."""
    world.start_trainers(TRAINERS)
    world.wait_for_height(2)
    world.stop_trainers(0)
    world.stop_ledgers()
    world.wipe_ledger()
    height, before = world.get_height(0), list_headers(world)
    restart_trainers(world, TRAINERS, has_volume=has_volume)
    world.start_ledger()
    world.wait_for_height(height + 2)
    assert len(list_headers(world)) > len(before)
    require_no_conflict(world)


class SilentUpdates:
    """The updates topic of a Kafka that takes a record and never says so."""

    def __init__(self) -> None:
        self.taken = threading.Event()
        self._inner = MemoryBroker().open("updates", UPDATE_PARTITIONS)
        self.partitions, self.read, self.seek = UPDATE_PARTITIONS, self._inner.read, self._inner.seek
        self.ends, self.close = self._inner.ends, self._inner.close

    def append(self, key: bytes, value: bytes, traces: object = ()) -> Future[None]:
        self.taken.set()
        return Future()


def test_trainers_end_in_time_although_kafka_never_answers(
    world: ServiceWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    updates = SilentUpdates()
    topics = Topics(world.open_topics().log, updates)  # type: ignore[arg-type]
    monkeypatch.setattr(world, "open_topics", lambda: topics)
    world.start_trainers(TRAINERS)
    assert updates.taken.wait(30)
    start_s = time.monotonic()
    world.stop_trainers(0)
    assert time.monotonic() - start_s < STOP_S


def test_trainers_that_are_told_to_end_before_kafka_comes_end(
    world: ServiceWorld, caplog: pytest.LogCaptureFixture
) -> None:
    ended: list[bool] = []
    caplog.set_level(logging.WARNING)
    world.broker.set_away(True)

    def build(loop):  # type: ignore[no-untyped-def]
        ledger = MemoryLedgerPeer(world.genesis, world.blocks, world.states, world.models)
        follower = LightFollower(world.genesis, ledger, loop.scheduler)
        TrainerHost(world.open_topics().updates, follower, loop)
        keeps = [world.open_keep(index).signed for index in TRAINERS]
        ended.append(not recall_headers(keeps, follower.state.chain, world.open_topics().updates, loop))
        return ledger.close

    service = Service(build)
    wait_until(lambda: "Kafka is not ready" in caplog.text, "waiting for Kafka")
    service.stop()
    assert ended == [True]
    world.broker.set_away(False)
