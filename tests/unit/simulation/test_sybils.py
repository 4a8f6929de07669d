"""A flood of newcomers that all attack: caps on joining, and the share that probation leaves them."""

from __future__ import annotations

from collections import Counter

import pytest

from flobc.adapters.filesystem import FileBlocks
from flobc.composition.genesis import derive_identity
from tests.support.worlds import simulate_text

HONEST, SYBILS = 6, 12
WORLD = """
run: {{trainers: 18, validators: 4, rounds: 10, sync: bsp, period: 5s, admission: {admission}, {more}}}
churn: {{events: [{{at: 1s, what: join, trainers: [6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17]}}]}}
attacks: {{trainers: ['{attack}@0.6667']}}
"""
NUMBERS = {derive_identity(0, "trainer", number).public_key: number for number in range(HONEST + SYBILS)}


def flood(directory, admission="open", more="max_joins: 3, max_trainers: 15", attack="sign_flip"):
    """Let twelve newcomers flood a chain of six; return its end and its blocks."""
    found = simulate_text(WORLD.format(admission=admission, more=more, attack=attack), directory=directory)
    blocks = FileBlocks(directory / "blocks", found.state.genesis.parent)
    return found, [blocks.get(height) for height in range(1, found.state.height + 1)]


def count_admissions(state):
    return Counter(entry.admitted_height for key, entry in state.core.trainers.items() if NUMBERS[key] >= HONEST)


@pytest.mark.parametrize("admission", ["open", "invite"])
def test_caps_hold_whoever_floods(tmp_path, admission) -> None:
    # CHAIN-9
    found, _ = flood(tmp_path, admission)
    admitted = count_admissions(found.state)
    assert admitted.total() == 15 - HONEST
    assert max(admitted.values()) == 3


def test_an_invitation_lets_in_as_many_as_it_is_for(tmp_path) -> None:
    # CHAIN-9
    found, _ = flood(tmp_path, "invite", "invited: 4")
    assert count_admissions(found.state).total() == 4


@pytest.mark.parametrize("attack", ["sign_flip", "zero", "alie"])
def test_all_probation_together_weighs_a_fifth(tmp_path, attack) -> None:
    # TRUST-18, TRUST-19
    found, blocks = flood(tmp_path, attack=attack)
    used: Counter[int] = Counter()
    seen = 0
    for block in blocks:
        weights = {NUMBERS[item.trainer]: item.weight for item in block.body.decisions if item.weight}
        probation = [number for number in weights if number >= HONEST and used[number] < 5]
        if all(number in weights for number in range(HONEST)):
            seen += bool(probation)
            assert sum(weights[number] for number in probation) <= sum(weights.values()) * 0.2 + len(weights)
        used.update(weights)
    assert seen
    assert found.results.test_accuracy > 0.9
