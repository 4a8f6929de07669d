"""Each fault at the moment when it hurts most: the chain goes on, loses nothing and convicts nobody.

Each test leaves the system running. What a fault costs is printed (``pytest -s``), not asserted.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Iterator

import pytest

from flobc.adapters.redis import RedisSettings, connect
from flobc.composition.services.parts import get_topic_names
from flobc.composition.services.recording import build_stores, get_prefix
from flobc.protocol.messages import Seal, UpdateHeader, compute_update_id
from flobc.protocol.params import get_chain_id
from tests.support.disks import SmallDisk
from tests.support.faults import FaultySystem, faulty_system, is_running
from tests.support.garbage import build_flood, build_nonsense, hurt, inject, read_real
from tests.support.system import LEDGERS

BASELINE_ROUNDS = 6
MOVING_BLOCKS = 3
"""So many more blocks show that the chain has not merely finished what was under way."""
OUTAGE_S = 60.0
FLOOD_HEADERS = 4_000
_APPEND_BLOCK = re.compile(rb"EVALSHA\r.*:head\r.*:block:(\d+)\r", re.DOTALL)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultySystem]:
    with faulty_system(tmp_path_factory.mktemp("faults") / "chain") as running:
        running.wait_for_blocks(MOVING_BLOCKS)
        running.measure_rounds(BASELINE_ROUNDS)
        yield running


@pytest.mark.parametrize("keeps_volume", [True, False])
def test_a_trainer_killed_in_the_midst_of_an_upload_signs_nothing_twice(
    system: FaultySystem, keeps_volume: bool
) -> None:
    """ROUND-2: with its volume it sends the same bytes again, without it reads back what it signed."""
    header = kill_in_upload(system, "trainer-1")
    volume = system.get_directory("trainer-1")
    if not keeps_volume:
        for name in ("spool", "signed"):
            shutil.rmtree(volume / name)
    height, start_s = system.read_height(), time.monotonic()
    system.start("trainer-1")
    system.wait_for_accepted("trainer-1", height)
    kept = "kept" if keeps_volume else "lost"
    system.report_recovery(f"trainer-1 killed in an upload, volume {kept}", time.monotonic() - start_s)
    if keeps_volume:
        system.wait_until("the whole upload", lambda: system.count_chunks(header) == header.num_chunks)
    headers = system.read_headers("trainer-1")
    assert len({(item.base_height, item.k) for item in headers}) == len({compute_update_id(item) for item in headers})
    system.check()


def test_a_validator_killed_while_it_scores_leaves_no_process_behind_and_catches_up(system: FaultySystem) -> None:
    with system.held_scoring("validator-1") as worker:
        system.kill("validator-1")
        system.wait_until("its scoring process ends with it", lambda: not is_running(worker))
    system.report_recovery("validator-1 killed while it scored, without it", system.wait_for_blocks(MOVING_BLOCKS))
    height, start_s = system.read_height(), time.monotonic()
    system.start("validator-1")
    system.wait_for_progress("validator-1", height)
    system.report_recovery("validator-1 started again, caught up", time.monotonic() - start_s)
    system.check()


def test_a_scoring_process_that_is_killed_is_replaced_and_its_votes_come(system: FaultySystem) -> None:
    """Without validator-2 there is no quorum but with the votes of the one that lost its process."""
    with system.paused("validator-2"):
        with system.held_scoring("validator-1") as worker:
            os.kill(worker, signal.SIGKILL)
            system.wait_until("the scoring process ends", lambda: not is_running(worker))
        system.report_recovery("scoring process killed, its votes needed", system.wait_for_blocks(MOVING_BLOCKS))
    system.check()


def test_a_validator_killed_between_keeping_its_seal_and_sending_it_sends_that_very_seal(system: FaultySystem) -> None:
    """ROUND-15: without validator-2 there is no certificate but with the seal of the one that is killed."""
    proxy = system.detours["validator-3"]
    with system.paused("validator-2"):
        system.wait_for_blocks(2)  # it may have sealed one that was not complete when it stopped
        proxy.stop_at(re.compile(begin_record(system, Seal, "validator-3") + b"(.{8})", re.DOTALL), through=False)
        system.wait_until("a seal of validator-3 is on its way", proxy.stopped.is_set)
        system.kill("validator-3")
        proxy.heal()
        kept = system.load_seal("validator-3")
        assert kept is not None
        assert proxy.found is not None
        assert kept.height == int.from_bytes(proxy.found[1], "big")
        assert system.read_height() < kept.height
        start_s = time.monotonic()
        system.start("validator-3")
        system.wait_for_height(kept.height)
        system.report_recovery("validator-3 killed with an unsent seal that was needed", time.monotonic() - start_s)
        assert kept in system.get_block(kept.height).certificate
    system.wait_for_blocks(MOVING_BLOCKS)
    system.check()


def test_all_ledgers_killed_between_a_model_and_its_head_go_on_from_there(system: FaultySystem) -> None:
    """The head is written last: what stands in the store names nothing that is not there."""
    proxy = system.detours["ledger-0"]
    system.kill("ledger-1")
    proxy.stop_at(_APPEND_BLOCK, through=False)
    system.wait_until("ledger-0 writes a head", proxy.stopped.is_set)
    system.kill("ledger-0")
    proxy.heal()
    assert proxy.found is not None
    height = int(proxy.found[1])
    client = connect(RedisSettings.from_url(system.plan.redis, get_prefix(system.genesis)))
    try:
        stores = build_stores(client, system.genesis)
        assert stores.blocks.height == height - 1
        held = client.call("HKEYS", client.key("model", "held"))
    finally:
        client.close()
    start_s = time.monotonic()
    for index in range(LEDGERS):
        system.start(f"ledger-{index}")
    system.wait_for_height(height + MOVING_BLOCKS)
    system.report_recovery("all ledgers killed before a head was written", time.monotonic() - start_s)
    assert system.get_block(height).header.model.hex().encode() in held
    system.check()


def test_a_validator_that_is_cut_off_from_kafka_is_not_waited_for_and_catches_up(system: FaultySystem) -> None:
    proxy = system.detours["validator-3"]
    before = system.list_processes()
    proxy.cut()
    system.report_recovery("validator-3 cut off, blocks without it", system.wait_for_blocks(2 * MOVING_BLOCKS))
    height = system.read_height()
    assert system.read_progress("validator-3") < height
    proxy.heal()
    system.report_recovery("validator-3 reached again, caught up", system.wait_for_progress("validator-3", height))
    assert system.list_processes() == before, "somebody had to be started again"
    system.check()


def test_a_validator_whose_disk_is_full_says_so_and_seals_when_there_is_room(system: FaultySystem) -> None:
    """ROUND-15: what cannot be kept is not sent."""
    name, log = "validator-0", system.get_process("validator-0").log
    with system.paused(name):
        disk = SmallDisk(system.get_directory(name) / "seals")
    try:
        length = log.stat().st_size

        def says_so() -> bool:
            disk.fill()
            with log.open("rb") as file:
                file.seek(length)
                return b"cannot be kept" in file.read()

        system.wait_until("it says that its disk is full", says_so)
        kept = system.load_seal(name)
        system.report_recovery("disk full, blocks without its seals", system.wait_for_blocks(MOVING_BLOCKS))
        height = system.read_height()
        assert kept is not None
        assert system.load_seal(name) == kept
        disk.make_room()
        seconds = system.wait_until("it seals again", lambda: (system.load_seal(name) or kept).height > height)
        system.report_recovery("room again, next seal", seconds)
    finally:
        with system.paused(name):
            disk.close()
    system.wait_for_blocks(MOVING_BLOCKS)
    system.check()


def test_records_again_and_in_pieces_and_garbage_of_every_size_are_ignored(system: FaultySystem) -> None:
    """WIRE-10, WIRE-11: what is no good record changes nothing, in either topic."""
    names = get_topic_names(system.genesis)
    with system.open_topics() as topics:
        real = [read_real(topic, 20) for topic in topics]
    start_s = time.monotonic()
    for name, records in zip(names, real, strict=True):
        inject(system.plan.kafka, name, [*hurt(records), *build_nonsense(len(records))])
    system.wait_for_blocks(2 * MOVING_BLOCKS)
    system.report_recovery("garbage of every size in both topics", time.monotonic() - start_s)
    height = system.read_height()
    for member in system.list_processes().keys() - {"kafka", "redis"}:
        system.wait_for_progress(member, height)
    assert None not in system.list_processes().values()
    assert system.check().rejected_records > 0


@pytest.mark.parametrize("is_signed", [False, True])
def test_a_flood_of_headers_stops_nobody_but_who_sends_it(system: FaultySystem, is_signed: bool) -> None:
    """ROUND-4: a payload that never becomes complete gets no vote and convicts nobody, however many there are."""
    flooder, other = "trainer-0", "trainer-1"
    height, before = system.read_height(), system.list_processes()
    real = system.read_headers(flooder)[-1]
    identity = system.load_identity(flooder) if is_signed else None
    start_s = time.monotonic()
    count = inject(
        system.plan.kafka,
        get_topic_names(system.genesis)[1],
        build_flood(real, FLOOD_HEADERS, identity, height),
        real.trainer,
    )
    system.wait_for_accepted(other, system.read_height())
    kind = "signed" if is_signed else "forged"
    system.report_recovery(f"{count} {kind} records, an update of somebody else", time.monotonic() - start_s)
    start_s = time.monotonic()
    system.wait_for_accepted(flooder, system.read_height())
    system.report_recovery("an update of the one in whose name they came", time.monotonic() - start_s)
    assert system.list_processes() == before
    system.check()


@pytest.mark.soak
def test_a_minute_without_kafka_is_waited_out(system: FaultySystem) -> None:
    before = system.list_processes()
    system.kill("kafka")
    time.sleep(OUTAGE_S)  # how long it lasts is what is tried here
    start_s = time.monotonic()
    system.restart()
    system.wait_for_blocks(2 * MOVING_BLOCKS)
    system.report_recovery(f"{OUTAGE_S:.0f} s without kafka", time.monotonic() - start_s)
    assert {**before, "kafka": None} == {**system.list_processes(), "kafka": None}, "somebody had to be started again"
    height = system.read_height()
    for name in before.keys() - {"kafka", "redis"}:
        system.wait_for_progress(name, height)
    system.check()


def begin_record(system: FaultySystem, kind: type[Seal | UpdateHeader], name: str) -> bytes:
    """How every record of a kind begins that a member sends, as a pattern: type, chain and sender."""
    key = system.load_identity(name).public_key
    number = {Seal: 4, UpdateHeader: 16}[kind]
    return re.escape(bytes([number]) + get_chain_id(system.genesis) + key)


def kill_in_upload(system: FaultySystem, name: str) -> UpdateHeader:
    """Kill a trainer when Kafka has an update's header and not all of its chunks."""
    proxy = system.detours[name]
    pattern = re.compile(begin_record(system, UpdateHeader, name) + b"(.{8})(.{2})", re.DOTALL)
    while True:
        proxy.stop_at(pattern, through=True)
        system.wait_until("an upload has begun", proxy.stopped.is_set)
        system.kill(name)
        assert proxy.found is not None
        base_height, k = (int.from_bytes(part, "big") for part in proxy.found.groups())
        header = wait_for_header(system, name, (base_height, k))
        proxy.heal()
        if system.count_chunks(header) < header.num_chunks:
            return header
        system.start(name)


def wait_for_header(system: FaultySystem, name: str, identity: tuple[int, int]) -> UpdateHeader:
    """A trainer's header as soon as the updates topic has it."""
    found: list[UpdateHeader] = []

    def is_there() -> bool:
        found[:] = [item for item in system.read_headers(name) if (item.base_height, item.k) == identity]
        return bool(found)

    system.wait_until(f"a header of {name} in the topic", is_there)
    return found[0]
