"""A trainer killed in the middle of a round: how long the others wait for it, by the blocks; the times are printed."""

from __future__ import annotations

import itertools
import statistics
import time
from pathlib import Path

import pytest

from flobc.composition.archive import open_archive
from flobc.composition.run_directory import load_genesis
from flobc.protocol.chain.block import Block, Closing
from tests.support.system import WholeSystem, whole_system
from tests.support.system_logs import read_seen_blocks

PERIOD_S = 20
"""At least ten median rounds of this task, else a deadline would look like a slow round."""
LEAST_PERIODS = 10
WARM_UP = 10
BASELINE_ROUNDS = 10
BLOCKS_AFTER = 12
"""More than ``liveness_rounds``: the last of them no longer wait for the dead one."""
LONG_S = 400.0
VICTIM = "trainer-0"
LATE_SHARE = 0.4
"""When in a round the kill comes, as a share of the median round: the paced training is under way then."""
MEMBERS = ("--task", "tests.support.paced_task:task", "--trainers", "6", "--validators", "4", "--period", str(PERIOD_S))


@pytest.mark.soak
@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
def test_a_trainer_killed_in_a_round_is_waited_for_as_the_scheme_says(scheme: str, tmp_path: Path) -> None:
    """SYNC-3, SYNC-4, SYNC-6, SYNC-7."""
    with whole_system(tmp_path / "chain", (*MEMBERS, "--sync", scheme), ledgers=1) as system:
        system.wait_for_height(WARM_UP + BASELINE_ROUNDS, LONG_S)
        median_s = statistics.median(list(read_rounds(system).values())[-BASELINE_ROUNDS:])
        killed_in = kill_in_a_round(system, median_s)
        system.wait_for_height(killed_in + BLOCKS_AFTER, LONG_S)
        rounds_s = read_rounds(system)
        blocks = read_blocks_from(system, killed_in, killed_in + BLOCKS_AFTER)
        params = load_genesis(system.root).params.sync
        system.restart()
        system.wait_for_progress(VICTIM, system.read_height())
        system.check()
    print(f"\n{scheme}: the median round takes {median_s:.2f} s, the period is {PERIOD_S} s")
    for block in blocks:
        added_s = rounds_s[block.height] - median_s
        print(f"{scheme}: block {block.height}: {block.header.closing.name.lower()}, {added_s:+.2f} s")
    delayed = [block.height for block in blocks if block.header.closing is Closing.DEADLINE]
    if scheme == "bap":
        assert not delayed, "a bap round waited for a deadline although the majority was there"
        return
    assert delayed, "nobody was missed: the kill came too late to be seen"
    assert len(delayed) <= params.liveness_rounds
    assert delayed == list(range(delayed[0], delayed[0] + len(delayed)))
    steps = {block.header.step for block in blocks if block.height in delayed}
    assert steps == {1 if scheme == "bsp" else 2}
    assert LEAST_PERIODS * median_s <= PERIOD_S, "the machine is too busy for this period to tell anything"


def kill_in_a_round(system: WholeSystem, median_s: float) -> int:
    """Kill a trainer while a round is under way and return that round's height."""
    system.wait_for_blocks(1)
    time.sleep(LATE_SHARE * median_s)  # the moment in the round is what is tried here
    height = system.read_height() + 1
    system.kill(VICTIM)
    return height


def read_rounds(system: WholeSystem) -> dict[int, float]:
    """Seconds from one block to the next as the first ledger saw them, by height."""
    blocks = read_seen_blocks(system.get_process("ledger-0").log)
    return {later.height: later.time_s - earlier.time_s for earlier, later in itertools.pairwise(blocks)}


def read_blocks_from(system: WholeSystem, first: int, last: int) -> list[Block]:
    archive = open_archive(system.root)
    try:
        found = [archive.block(height) for height in range(first, last + 1)]
    finally:
        archive.close()  # type: ignore[attr-defined]
    return [block for block in found if block is not None]
