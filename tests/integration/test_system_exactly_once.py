"""Updates while processes are killed at random: each accepted one is in exactly one block, none vanishes."""

from __future__ import annotations

import random
import time
from collections import Counter
from pathlib import Path

import pytest

from tests.support.system import WholeSystem, whole_system
from tests.support.system_logs import read_acknowledged
from tests.support.update_census import Census, Fate, take_census

UPDATES = 1_000
TRAINERS = 8
LEDGERS = 2
LONGEST_DEATH_S = 2.0
BLOCKS_BETWEEN_KILLS = 2
LONG_S = 300.0
QUIET_S = 8.0
"""Four periods: a deadline that still ran when the trainers were stopped has made its block by then."""
OPTIONS = (
    *("--task", "tests.support.paced_task:quick", "--trainers", str(TRAINERS), "--validators", "4", "--period", "2"),
    *("--sync", "bap", "--majority-ratio", "0.6", "--max-staleness", "6", "--quota", "1"),
)


@pytest.mark.soak
@pytest.mark.parametrize(
    ("seed", "deaths", "most_at_once"),
    [pytest.param(0, 20, 3, id="few kills"), pytest.param(1, 1_000, TRAINERS, id="1000 kills")],
)
def test_every_acknowledged_update_is_decided_exactly_once_or_too_late(
    seed: int, deaths: int, most_at_once: int, tmp_path: Path
) -> None:
    """ROUND-2, ROUND-3, ROUND-9, ROUND-12, SYNC-11: what "vanished" means is written at ``Fate``."""
    with whole_system(tmp_path / "chain", OPTIONS, LEDGERS) as system:
        kills = kill_until(system, UPDATES, deaths, most_at_once, random.Random(seed))
        system.wait_for_blocks(BLOCKS_BETWEEN_KILLS)
        with system.paused(*system.list_names("trainer")):
            wait_until_quiet(system)
            census = take_census(system)
        system.check()
    fates = judge_all(census)
    print(f"\nkilled: {dict(sorted(kills.items()))}")
    print(f"blocks: {census.height}; headers in the topic: {len(census.headers)}")
    print(f"acknowledged: {sum(fates.values())}: " + ", ".join(f"{n} {fate.name.lower()}" for fate, n in fates.items()))
    print("decided: " + ", ".join(f"{count} {reason}" for reason, count in census.count_reasons().items()))
    require_exactly_once(census)
    assert sum(fates.values()) >= UPDATES
    assert fates[Fate.VANISHED] == 0
    assert fates[Fate.OPEN] == 0


def kill_until(system: WholeSystem, updates: int, deaths: int, most_at_once: int, rng: random.Random) -> Counter[str]:
    """Kill again and again until so many updates are acknowledged; return how often which role died.

    At most so many trainers at a time, and one of the others: of four validators one may be missing.
    """
    kills: Counter[str] = Counter()
    trainers, others = system.list_names("trainer"), system.list_names("validator", "ledger")
    system.wait_for_blocks(BLOCKS_BETWEEN_KILLS)
    while count_acknowledged(system) < updates or kills.total() < deaths:
        for name in [*rng.sample(trainers, rng.randint(0, most_at_once)), rng.choice(others)]:
            system.kill(name)
            kills[name.partition("-")[0]] += 1
        time.sleep(rng.uniform(0, LONGEST_DEATH_S))  # how long it stays dead is what is tried here
        system.restart()
        system.wait_for_height(system.read_height() + BLOCKS_BETWEEN_KILLS, LONG_S)
        print(f"\rkilled {kills.total()} of {deaths}", end="", flush=True)
    return kills


def count_acknowledged(system: WholeSystem) -> int:
    return sum(len(read_acknowledged(system.get_process(name).log)) for name in system.list_names("trainer"))


def wait_until_quiet(system: WholeSystem) -> None:
    """Wait until everybody has the same head, and has had it for longer than any deadline."""
    since_s, last = time.monotonic(), system.wait_for_agreement()
    while time.monotonic() - since_s < QUIET_S:
        found = system.wait_for_agreement()
        if found != last:
            since_s, last = time.monotonic(), found


def judge_all(census: Census) -> Counter[Fate]:
    """What became of all acknowledged updates; each must be in the topic, whole and once."""
    fates: Counter[Fate] = Counter()
    for trainer, acknowledged in census.acknowledged.items():
        for base, time_s in acknowledged.items():
            found = census.find(trainer, base)
            assert len(found) == 1, f"{len(found)} updates of {trainer.hex()[:12]} from base {base} in the topic"
            fate = census.judge(found[0], time_s)
            if fate in (Fate.VANISHED, Fate.OPEN, Fate.OVERTAKEN):
                at = census.get_head_at(time_s)
                print(f"{fate.name.lower()}: {found[0].hex()[:12]} from base {base}, acknowledged at head {at}")
            fates[fate] += 1
    return fates


def require_exactly_once(census: Census) -> None:
    """No update is decided twice, none comes from nowhere, and a trainer's used bases only ever grow."""
    for update, found in census.decisions.items():
        assert len(found) == 1, f"update {update.hex()[:12]} is in blocks {[height for height, _ in found]}"
        assert update in census.headers
    bases: dict[bytes, list[int]] = {}
    for _, decision in sorted(census.list_accepted(), key=lambda each: each[0]):
        bases.setdefault(decision.trainer, []).append(decision.base_height)
    for found in bases.values():
        assert found == sorted(set(found))
