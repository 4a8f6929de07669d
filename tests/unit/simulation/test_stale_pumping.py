"""Updates from the oldest base that is allowed, all of a trainer's quota at once: what the rules leave of them."""

from __future__ import annotations

from flobc.adapters.filesystem import FileBlocks
from flobc.composition.genesis import derive_identity
from flobc.protocol.chain.block import Reason
from tests.support.worlds import simulate_text

WORLD = """
run: {{trainers: 6, validators: 4, rounds: 12, sync: {sync}, max_staleness: 3, quota: 2, period: 5s}}
attacks: {{trainers: ['stale_pumping@0.34']}}
"""
ATTACKERS = {derive_identity(0, "trainer", number).public_key for number in (4, 5)}


def find_decisions(directory, text):
    """Return what was decided on the attackers' updates, and how well the world learnt."""
    found = simulate_text(text, directory=directory)
    blocks = FileBlocks(directory / "blocks", found.state.genesis.parent)
    decisions = [item for height in range(1, 13) for item in blocks.get(height).body.decisions]
    return [item for item in decisions if item.trainer in ATTACKERS], found.results.test_accuracy


def test_stale_updates_are_discounted_and_each_base_is_used_once(tmp_path) -> None:
    # SYNC-11, SYNC-13, ROUND-3
    decided, accuracy = find_decisions(tmp_path, WORLD.format(sync="bap"))
    used = [item for item in decided if item.weight]
    assert used
    assert {item.staleness for item in decided} == {3}
    assert {item.discount for item in used} == {65_536 // 4}
    bases = [(item.trainer, item.base_height) for item in used]
    assert len(bases) == len(set(bases))
    assert {item.k for item in decided} <= {0, 1}
    assert accuracy > 0.9


def test_the_rest_of_a_quota_weighs_nothing(tmp_path) -> None:
    # ROUND-11
    decided, _ = find_decisions(tmp_path, WORLD.format(sync="bap"))
    superseded = [item for item in decided if item.reason is Reason.SUPERSEDED]
    assert superseded
    assert not any(item.weight for item in superseded)


def test_where_nothing_late_is_taken_nothing_is_held_back(tmp_path) -> None:
    # SYNC-11, SYNC-12
    text = WORLD.format(sync="bsp").replace(" max_staleness: 3, quota: 2,", "")
    decided, _ = find_decisions(tmp_path, text)
    assert {(item.staleness, item.k) for item in decided} == {(0, 0)}
    assert len(decided) == 12 * 2
