"""A run that is killed at any write goes on where it was: nothing is lost, nothing signed twice."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from examples.numpy_task import task
from flobc.adapters.filesystem import FilePayloads
from flobc.adapters.filesystem.formats import get_payload_name
from flobc.composition.archive import open_archive
from flobc.composition.embedded import EmbeddedRun
from flobc.composition.genesis import build_federation, build_shards
from flobc.composition.reports import SilentObserver
from flobc.composition.runner import open_stores, run
from flobc.composition.settings import RunSettings
from flobc.composition.verification import verify_chain
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.consensus.state import build_identity_key
from flobc.protocol.messages import Seal, compute_update_id, decode_record
from tests.support.crashes import Killed, KillSwitch
from tests.support.embedded import World, build_settings
from tests.support.power import Disk

ROUNDS = 2
SCHEMES = ("bsp", "ssp", "bap")


def build_tried(scheme: str) -> RunSettings:
    """With trust: a round closes with a quorum's votes on each update, and the weights follow from which they were."""
    return build_settings(scheme, params={"codec": "int16"}, rounds=ROUNDS)


@functools.cache
def run_straight(scheme: str) -> tuple[list[bytes], int]:
    """The headers of a run that nobody disturbed, and how many writes it took."""
    world, switch = World(build_tried(scheme)), KillSwitch(None)
    world.stores = switch.guard(world.stores)
    world.run()
    return get_heads(world.blocks), switch.count


def run_until_killed(world: World, writes: int) -> bool:
    """Start the run anew on what is there, and let it write so often; return whether it came to its end."""
    stores = world.stores
    world.stores = KillSwitch(writes).guard(stores)
    try:
        world.run()
    except Killed:
        return False
    finally:
        world.stores = stores
    return True


def get_heads(blocks: Iterable[Block]) -> list[bytes]:
    return [compute_header_digest(block.header) for block in blocks]


def read_seals(world: World) -> Iterator[Seal]:
    for data in world.stores.log.read():
        record = decode_record(data)
        if isinstance(record, Seal):
            yield record


def require_one_word_each(world: World) -> None:
    """No validator sealed two headers of one height, no trainer signed two updates of one identity."""
    seals: dict[tuple[bytes, int], bytes] = {}
    for seal in read_seals(world):
        assert seals.setdefault((seal.validator, seal.height), seal.header) == seal.header
    updates: dict[bytes, bytes] = {}
    stored = world.stores.payloads.list_headers()
    for header in [*stored, *(header for block in world.blocks for header in block.body.headers)]:
        update = compute_update_id(header)
        assert updates.setdefault(build_identity_key(header), update) == update
    assert all(not block.body.evidence for block in world.blocks)


def require_undisturbed(world: World) -> None:
    report = world.verify()
    assert report.height == ROUNDS
    assert report.rejected_records == 0
    require_one_word_each(world)


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("part", range(6))
def test_a_run_killed_at_any_write_goes_on(scheme: str, part: int) -> None:
    """Every sixth write, from another one in each part: all of them together."""
    straight, writes = run_straight(scheme)
    for kill in range(part, writes, 6):
        world = World(build_tried(scheme))
        run_until_killed(world, kill)  # a worker may store a last payload or not, so the last one may reach the end
        heads = get_heads(world.blocks)
        world.run()
        require_undisturbed(world)
        assert get_heads(world.blocks)[: len(heads)] == heads, kill
        if scheme == "bsp":  # the open round is repeated
            assert get_heads(world.blocks) == straight, kill


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("codec", ["int16", "int8"])
@pytest.mark.parametrize("writes", [3, 5, 11])
def test_a_run_killed_again_and_again_gets_there(scheme: str, codec: str, writes: int) -> None:
    """Few writes a life are enough: what is owed follows from what was written."""
    world = World(build_settings(scheme, params={"codec": codec}, rounds=ROUNDS))
    lives = 1
    while not run_until_killed(world, writes):
        lives += 1
        assert lives < 200
    require_undisturbed(world)


def start_and_kill(root: Path, settings: RunSettings, writes: int) -> None:
    """A run in a directory, killed: only the operating system closes its files."""
    federation, shards = build_federation(settings, task), build_shards(settings, task)
    with open_stores(root, settings, federation) as stores:
        guarded = KillSwitch(writes).guard(stores)
        embedded = EmbeddedRun(settings, federation, shards, guarded, SilentObserver())
        try:
            with suppress(Killed):
                embedded.run(settings.rounds)
        finally:
            embedded.close()


@pytest.mark.parametrize("writes", [1, 8, 20, 30, 41, 48])
def test_a_killed_run_goes_on_in_its_directory(tmp_path: Path, writes: int) -> None:
    settings = build_tried("bsp")
    start_and_kill(tmp_path / "run", settings, writes)
    result = run(settings, task=task, directory=tmp_path / "run")
    assert get_heads(result.blocks) == run_straight("bsp")[0]
    report = verify_chain(open_archive(tmp_path / "run"), full=True)
    assert report.complete
    assert report.height == ROUNDS


@pytest.mark.parametrize("writes", range(1, 52, 3))
def test_a_run_goes_on_after_a_power_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int) -> None:
    """ROUND-15: what a seal speaks of is on disk before the seal: no validator can be made to seal another block."""
    settings, disk = build_tried("bsp"), Disk(monkeypatch)
    with closing(disk):
        start_and_kill(tmp_path / "run", settings, writes)
        disk.cut_power(tmp_path / "run", tmp_path / "left")
    result = run(settings, task=task, directory=tmp_path / "left")
    assert get_heads(result.blocks) == run_straight("bsp")[0]
    assert verify_chain(open_archive(tmp_path / "left"), full=True).complete


@pytest.mark.parametrize("writes", [2, 8, 32])
@pytest.mark.parametrize("damage", ["cut", "bent"])
def test_a_payload_that_a_crash_damaged_is_made_again(tmp_path: Path, writes: int, damage: str) -> None:
    settings, root = build_tried("bsp"), tmp_path / "run"
    start_and_kill(root, settings, writes)
    height = len(list(root.glob("blocks/*.block")))
    opened = [each for each in FilePayloads(root / "payloads").list_headers() if each.base_height == height]
    assert opened
    for header in opened:
        path = root / "payloads" / get_payload_name(compute_update_id(header))
        data = path.read_bytes()
        path.write_bytes(data[:-9] if damage == "cut" else data[:-9] + bytes([data[-9] ^ 1]) + data[-8:])
    result = run(settings, task=task, directory=root)
    assert get_heads(result.blocks) == run_straight("bsp")[0]
    assert verify_chain(open_archive(root), full=True).complete


@pytest.mark.parametrize("writes", range(2, 52, 3))
def test_no_trainer_signs_twice_although_the_log_lost_more_than_the_payloads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, writes: int
) -> None:
    """ROUND-2: with error feedback, which a restart forgets, a training made again gives another update."""
    settings, disk = build_settings("bsp", params={"codec": "int8"}, rounds=ROUNDS + 1), Disk(monkeypatch)
    with closing(disk):
        start_and_kill(tmp_path / "run", settings, writes)
        disk.cut_power(tmp_path / "run", tmp_path / "left")
    result = run(settings, task=task, directory=tmp_path / "left")
    updates: dict[bytes, bytes] = {}
    archive = open_archive(tmp_path / "left")
    held = FilePayloads(tmp_path / "left" / "payloads").list_headers()
    for header in [*held, *(header for block in result.blocks for header in block.body.headers)]:
        update = compute_update_id(header)
        assert updates.setdefault(build_identity_key(header), update) == update
    assert verify_chain(archive, full=True).complete


def test_a_torn_log_and_half_written_files_do_not_stop_a_run(tmp_path: Path) -> None:
    settings = build_tried("bsp")
    root = tmp_path / "run"
    start_and_kill(root, settings, 33)
    with (root / "log").open("ab") as log:
        log.write(b"\0\0\1")
    (root / "payloads" / ".update.payload.1.1.part").write_bytes(b"half")
    result = run(settings, task=task, directory=root)
    assert get_heads(result.blocks) == run_straight("bsp")[0]
    assert verify_chain(open_archive(root), full=True).complete


def test_a_finished_run_can_be_extended_any_number_of_times(tmp_path: Path) -> None:
    """One long run makes the same blocks as many short ones."""
    root = tmp_path / "run"
    options = {"task": "synthetic:examples=200", "trainers": 3, "workers": 1}
    for rounds in (1, 2, 3):
        result = run(directory=root, rounds=rounds, **options)
    straight = run(rounds=3, **options)
    assert get_heads(result.blocks) == get_heads(straight.blocks)
    assert sorted(result.tests) == [0, 1, 2, 3]
    assert verify_chain(open_archive(root), full=True).complete
