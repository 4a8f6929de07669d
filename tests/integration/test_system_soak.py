"""The faults of ``test_system.py`` again and again, in an order drawn from a seed: ``make soak``."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

import pytest

from tests.support.system import WholeSystem, whole_system

FAULTS = 40
CHECK_EVERY = 10
LONGEST_PAUSE_S = 8.0
BASELINE_ROUNDS = 8
MOVING_BLOCKS = 3


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeSystem]:
    with whole_system(tmp_path_factory.mktemp("soak") / "chain") as running:
        yield running


@pytest.mark.soak
@pytest.mark.parametrize("seed", [0, 1])
def test_the_chain_goes_on_and_holds_after_every_fault_of_a_long_row(system: WholeSystem, seed: int) -> None:
    rng = random.Random(seed)
    system.wait_for_blocks(MOVING_BLOCKS)
    system.measure_rounds(BASELINE_ROUNDS)
    for number in range(1, FAULTS + 1):
        fault = rng.choice((kill, kill, freeze, wipe))
        name = rng.choice(sorted(system.list_processes()))
        start_s = time.monotonic()
        fault(system, name, rng)
        system.wait_for_blocks(MOVING_BLOCKS)
        system.report_recovery(f"{number}: {fault.__name__} {name}", time.monotonic() - start_s)
        if number % CHECK_EVERY == 0:
            system.check()


def kill(system: WholeSystem, name: str, rng: random.Random) -> None:
    system.kill(name)
    time.sleep(rng.uniform(0, LONGEST_PAUSE_S))  # how long it stays dead is what is tried here
    system.restart()


def freeze(system: WholeSystem, name: str, rng: random.Random) -> None:
    with system.paused(name):
        time.sleep(rng.uniform(0, LONGEST_PAUSE_S))


def wipe(system: WholeSystem, name: str, rng: random.Random) -> None:
    """The name is not needed: only Redis can be wiped without anybody having to notice."""
    del name, rng
    with system.open_redis() as redis:
        redis.call("FLUSHALL")
