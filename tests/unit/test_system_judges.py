"""The judges of whole-system tests judge: a leak is seen, and a lost or doubled update."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from flobc.protocol.chain.block import Decision, Reason
from flobc.protocol.messages import Fault, UpdateHeader
from tests.integration.test_system_exactly_once import require_exactly_once
from tests.integration.test_system_leaks import MAX_DESCRIPTORS_A_ROUND, MAX_KIB_A_ROUND
from tests.support.resources import Course
from tests.support.system_logs import read_acknowledged, read_heads_by_height
from tests.support.update_census import Census, Fate

TRAINER, CHAIN, UPDATE, NEWER = b"t" * 32, b"c" * 32, b"u" * 32, b"n" * 32
HEIGHT, STALENESS = 20, 6


def build_course(kib_a_round: float, rounds_a_descriptor: int) -> Course:
    """Fifty samples on a noise of 2 MiB, with a jump of 30 MiB and one file in the middle that are no leak."""
    heights = [3 * number for number in range(50)]
    noise = [2048.0 * (number % 5 == 0) for number in range(50)]
    jump = [30_720.0 * (number == 20) for number in range(50)]
    rss = [100_000 + kib_a_round * height + a + b for height, a, b in zip(heights, noise, jump, strict=True)]
    return Course(heights, rss, [40 + height // rounds_a_descriptor for height in heights])


def test_a_leak_of_fifty_kibibytes_a_round_is_seen_through_noise() -> None:
    assert build_course(MAX_KIB_A_ROUND + 5, 10_000).kib_a_round > MAX_KIB_A_ROUND
    assert build_course(5, 10_000).kib_a_round < MAX_KIB_A_ROUND


def test_a_file_left_open_every_forty_rounds_is_seen() -> None:
    assert build_course(0, 40).descriptors_a_round > MAX_DESCRIPTORS_A_ROUND
    assert build_course(0, 10_000).descriptors_a_round == 0


def build_header(base: int) -> UpdateHeader:
    return UpdateHeader(
        chain=CHAIN,
        trainer=TRAINER,
        base_height=base,
        k=0,
        num_examples=1,
        codec="int16",
        norm=1,
        payload_root=bytes(32),
        num_chunks=1,
        size_bytes=1,
    )


def build_decision(update: bytes, base: int, reason: Reason = Reason.ACCEPTED) -> Decision:
    return Decision(update, TRAINER, base, 0, reason, Fault.NONE, 0, 0, 65_536, 1, bytes(32))


def build_census(base: int) -> Census:
    """A chain of a block a second and one update; block h is there from second h on."""
    census = Census(HEIGHT, STALENESS, certified=[float(height) for height in range(1, HEIGHT + 1)])
    census.headers = {UPDATE: build_header(base), NEWER: build_header(base + 1)}
    census.chunks = defaultdict(set, {UPDATE: {0}})
    return census


@pytest.mark.parametrize(
    ("base", "acknowledged_s", "fate"),
    [(5, 5.5, Fate.VANISHED), (5, 8.5, Fate.VANISHED), (5, 9.5, Fate.LATE), (14, 14.5, Fate.OPEN)],
)
def test_an_undecided_update_is_judged_by_the_rounds_that_it_had(base: int, acknowledged_s: float, fate: Fate) -> None:
    """SYNC-11: from base 5 an update may be voted on up to head 11."""
    assert build_census(base).judge(UPDATE, acknowledged_s) is fate


def test_an_update_whose_trainer_has_a_newer_base_used_is_overtaken() -> None:
    """ROUND-3."""
    census = build_census(5)
    census.decisions[NEWER].append((7, build_decision(NEWER, 6)))
    assert census.judge(UPDATE, 5.5) is Fate.OVERTAKEN
    census.decisions[UPDATE].append((7, build_decision(UPDATE, 5, Reason.SUPERSEDED)))
    assert census.judge(UPDATE, 5.5) is Fate.DECIDED


def test_only_whole_updates_are_found() -> None:
    census = build_census(5)
    assert census.find(TRAINER, 5) == [UPDATE]
    census.chunks[UPDATE].clear()
    assert census.find(TRAINER, 5) == []


def test_an_update_decided_twice_or_from_nowhere_fails() -> None:
    census = build_census(5)
    census.decisions[UPDATE] = [(6, build_decision(UPDATE, 5))]
    require_exactly_once(census)
    census.decisions[UPDATE].append((7, build_decision(UPDATE, 5)))
    with pytest.raises(AssertionError, match="is in blocks"):
        require_exactly_once(census)
    del census.decisions[UPDATE][1], census.headers[UPDATE]
    with pytest.raises(AssertionError):
        require_exactly_once(census)


def test_logs_are_read_and_two_heads_of_one_height_fail(tmp_path: Path) -> None:
    log = tmp_path / "log"
    first, other = "0123456789abcdef", "fedcba9876543210"
    messages = [
        "published an update from base 3",
        "published an update from base 3",
        f"block 4: 2 accepted, head {first}",
        f"block 4 is certified, head {first}",
    ]
    time = "2026-01-01T00:00:00.500Z"
    log.write_text("Traceback\n" + "".join(json.dumps({"time": time, "message": each}) + "\n" for each in messages))
    assert list(read_acknowledged(log)) == [3]
    assert read_heads_by_height(log) == {4: first}
    with log.open("a") as more:
        more.write(json.dumps({"time": time, "message": f"block 4 is certified, head {other}"}) + "\n")
    with pytest.raises(AssertionError, match="two heads"):
        read_heads_by_height(log)
