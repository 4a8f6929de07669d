"""One seed makes one chain, whatever the process is started with."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from examples.numpy_task import task
from flobc.composition.archive import open_archive
from flobc.composition.runner import run
from flobc.composition.verification import verify_chain
from flobc.protocol.chain.block import compute_header_digest
from tests.support.embedded import World, build_settings
from tests.support.forgers import ForgedRun, publish_nothing
from tests.support.print_runs import ROUNDS, SCHEMES, describe_run

REPOSITORY = Path(__file__).resolve().parents[2]
TORCH_TASK = "digits:softmax"


def run_elsewhere(workers: int, threads: int, hash_seed: int) -> dict[str, Any]:
    """The digests of all schemes from a process of its own."""
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads), "PYTHONHASHSEED": str(hash_seed)}
    command = [sys.executable, "-m", "tests.support.print_runs", TORCH_TASK, str(workers), "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=environment, cwd=REPOSITORY)
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.fixture(scope="module")
def here() -> dict[str, Any]:
    return {scheme: describe_run(scheme, TORCH_TASK, workers=2, seed=7) for scheme in SCHEMES}


@pytest.mark.parametrize(("workers", "threads", "hash_seed"), [(1, 1, 0), (2, 2, 1), (4, 1, 2)])
def test_threads_workers_and_hash_seeds_do_not_matter(
    here: dict[str, Any], workers: int, threads: int, hash_seed: int
) -> None:
    """Every model and every header, under every scheme: results enter the log in an order drawn from the seed."""
    assert run_elsewhere(workers, threads, hash_seed) == here
    assert all(len(blocks) == ROUNDS for blocks in here.values())


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_same_seed_makes_the_same_log(scheme: str, seed: int) -> None:
    worlds = [World(build_settings(scheme, seed=seed, workers=workers)) for workers in (1, 3)]
    for world in worlds:
        world.run()
    first, second = [list(world.stores.log.read()) for world in worlds]
    assert first == second
    durations = [[report.virtual_ms for report in world.recorder.rounds] for world in worlds]
    assert durations[0] == durations[1]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_another_seed_makes_another_chain(scheme: str) -> None:
    heads = set()
    models = set()
    for seed in range(4):
        world = World(build_settings(scheme, seed=seed))
        world.run()
        heads.add(compute_header_digest(world.blocks[-1].header))
        models.update(block.header.model for block in world.blocks)
    assert len(heads) == 4
    assert len(models) == 4 * 3


def test_a_directory_changes_nothing(tmp_path: Path) -> None:
    """A run in memory and one on disk are the same chain."""
    settings = build_settings("bap")
    in_memory, on_disk = run(settings, task=task), run(settings, task=task, directory=tmp_path / "run")
    assert in_memory.state == on_disk.state
    assert in_memory.tests == on_disk.tests


@pytest.mark.parametrize("scheme", SCHEMES)
def test_on_the_wall_clock_the_chain_verifies(scheme: str) -> None:
    """Real time orders the log anew each time; every order is a good one."""
    world = World(build_settings(scheme, clock="wall", rounds=4))
    world.run()
    assert world.verify().height == 4


def test_under_bsp_without_trust_the_wall_clock_leads_to_the_same_models() -> None:
    """Sums are exact, so the order of arrival does not show in them."""
    settings = build_settings("bsp", params={"policy": "none"})
    worlds = [World(dataclasses.replace(settings, clock=clock)) for clock in ("virtual", "wall")]
    for world in worlds:
        world.run()
    assert [block.header.model for block in worlds[0].blocks] == [block.header.model for block in worlds[1].blocks]


@pytest.mark.parametrize("scheme", ["bsp", "ssp"])
def test_real_deadlines_close_rounds_too(scheme: str) -> None:
    """SYNC-6, SYNC-7: a period of a tenth of a second is waited for and no longer."""
    world = World(build_settings(scheme, params={"period_ms": 100}, clock="wall", rounds=2))
    world.run(2, ForgedRun, forgers={3: publish_nothing})
    assert [report.closing for report in world.recorder.rounds] == ["deadline"] * 2
    assert all(report.virtual_ms >= 100 for report in world.recorder.rounds)
    assert world.verify().height == 2


def test_a_wall_clock_run_goes_on_in_its_directory(tmp_path: Path) -> None:
    options = {"task": "synthetic:examples=200", "trainers": 3, "workers": 2, "directory": tmp_path / "run"}
    run(rounds=1, clock="wall", **options)
    assert run(rounds=3, clock="wall", **options).state.height == 3
    assert verify_chain(open_archive(tmp_path / "run"), full=True).complete
