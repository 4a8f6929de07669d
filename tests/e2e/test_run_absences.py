"""Trainers that never come, validators that say nothing, and rounds in which everybody attacks."""

from __future__ import annotations

import itertools
import threading
from typing import Any

import pytest

from examples.numpy_task import SoftmaxRegression
from flobc.composition.embedded import EmbeddedRun
from flobc.composition.reports import RoundReport
from flobc.errors import FlobcError
from flobc.learning.task import TrainResult
from flobc.protocol.chain.block import Reason
from flobc.protocol.trust.params import INITIAL_TRUST
from tests.support.embedded import RoundRecorder, World, build_settings
from tests.support.forgers import ForgedRun, publish_nothing

DEAD = 3
PERIOD_MS = 60_000
LIVENESS_ROUNDS = 2
TRAINED_MS = 10_000
"""More than honest trainers take for a round, and less than any timer."""


def run_with_dead_trainer(scheme: str, rounds: int = 4) -> World:
    world = World(build_settings(scheme, params={"liveness_rounds": LIVENESS_ROUNDS}, rounds=rounds))
    world.run(rounds, ForgedRun, forgers={DEAD: publish_nothing})
    assert world.get_decisions(DEAD) == []
    assert world.verify().height == rounds
    assert all(not block.rejected for block in world.blocks)
    return world


def test_bsp_waits_for_a_dead_trainer_until_it_is_no_longer_active() -> None:
    """SYNC-3, SYNC-6: the deadline closes, and after ``liveness_rounds`` blocks nobody waits any more."""
    rounds = run_with_dead_trainer("bsp").recorder.rounds
    assert [item.closing for item in rounds] == ["deadline"] * LIVENESS_ROUNDS + ["complete"] * 2
    assert all(PERIOD_MS <= item.virtual_ms < PERIOD_MS + TRAINED_MS for item in rounds[:LIVENESS_ROUNDS])
    assert all(item.virtual_ms < TRAINED_MS for item in rounds[LIVENESS_ROUNDS:])


def test_ssp_extends_once_for_a_dead_trainer() -> None:
    """SYNC-7: one trainer of four is unfinished, so the extension is a quarter of the period."""
    rounds = run_with_dead_trainer("ssp").recorder.rounds
    assert [item.closing for item in rounds] == ["deadline"] * LIVENESS_ROUNDS + ["complete"] * 2
    extended_ms = PERIOD_MS + PERIOD_MS // 4
    assert all(extended_ms <= item.virtual_ms < extended_ms + TRAINED_MS for item in rounds[:LIVENESS_ROUNDS])
    assert all(item.virtual_ms < TRAINED_MS for item in rounds[LIVENESS_ROUNDS:])


def test_bap_does_not_wait_for_a_dead_trainer() -> None:
    """SYNC-4: a majority is there without it."""
    rounds = run_with_dead_trainer("bap").recorder.rounds
    assert [item.closing for item in rounds] == ["majority"] * 4
    assert all(item.virtual_ms < TRAINED_MS for item in rounds)


@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
def test_a_trainer_that_dies_later_stalls_nothing(scheme: str) -> None:
    """SYNC: who was accepted once counts as active for ``liveness_rounds`` more blocks."""
    world = World(build_settings(scheme, params={"liveness_rounds": LIVENESS_ROUNDS}, rounds=5))
    world.run(5, ForgedRun, forgers={DEAD: lambda payload, run: [payload] if payload.header.base_height < 1 else ()})
    assert world.verify().height == 5
    assert all(item.base_height == 0 for item in world.get_decisions(DEAD))
    assert world.recorder.rounds[-1].virtual_ms < TRAINED_MS


@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
def test_without_any_update_no_block_is_made_and_nothing_spins(scheme: str) -> None:
    """SYNC-8: when nobody publishes, the log stays as short as a few timeouts."""
    world = World(build_settings(scheme))
    with pytest.raises(FlobcError, match="stopped at height 0") as stop:
        world.run(3, ForgedRun, forgers=dict.fromkeys(range(4), publish_nothing))
    assert "start the missing validators or trainers" in str(stop.value)
    assert len(world.stores.log) <= 3 * 4
    assert world.blocks == []


@pytest.mark.parametrize(
    ("attack", "reason"),
    [("nan", Reason.FAULT), ("sign_flip:factor=3", Reason.LOW_SCORE)],
)
@pytest.mark.parametrize("scheme", ["bsp", "bap"])
def test_when_all_trainers_attack_the_chain_goes_on_with_its_model(scheme: str, attack: str, reason: Reason) -> None:
    """ROUND-10: decided but none accepted is a block with an unchanged model, and trust never runs out."""
    world = World(build_settings(scheme, attacks=(attack,), rounds=2))
    state = world.run()
    assert world.verify().height == 2
    assert {item.reason for block in world.blocks for item in block.body.decisions} == {reason}
    assert {block.header.model for block in world.blocks} == {world.federation.genesis.initial_model}
    assert all(0 < entry.trust <= INITIAL_TRUST for entry in state.core.trust.entries.values())


@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
@pytest.mark.parametrize(("validators", "silent"), [(4, {2}), (7, {0, 5})])
def test_as_many_silent_validators_as_are_tolerated_stop_nothing(
    scheme: str, validators: int, silent: set[int]
) -> None:
    """CHAIN-5: n - quorum(n) validators may be missing."""
    world = World(build_settings(scheme, validators=validators))
    world.run(3, ForgedRun, silent=frozenset(silent))
    assert world.verify().height == 3
    missing = {world.federation.validators[index].public_key for index in silent}
    assert not missing & {seal.validator for block in world.blocks for seal in block.certificate}


@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
def test_one_silent_validator_too_many_stops_the_chain_and_says_so(scheme: str) -> None:
    """Safety before liveness: no block, no fork, a sentence; when the validator is back, the chain goes on."""
    world = World(build_settings(scheme))
    with pytest.raises(FlobcError) as stop:
        world.run(3, ForgedRun, silent=frozenset({1, 2}))
    assert str(stop.value) == (
        "The chain stopped at height 0: 2 of 4 validators voted in the open round, but 3 must; "
        "start the missing validators or trainers."
    )
    assert world.blocks == []
    world.run(3, ForgedRun, silent=frozenset({1}))
    assert world.verify().height == 3


class SealingStops(ForgedRun):
    """Validators vote but one too many goes silent once the round is closed."""

    def _step_all(self) -> None:
        if self.state.closed is not None:
            self._validators = self._validators[-2:]
        super()._step_all()


def test_validators_that_vanish_before_sealing_stop_the_chain_in_one_sentence() -> None:
    """ROUND-14: two readys of four lock nothing; nobody seals, and everybody together goes on."""
    world = World(build_settings("bsp"))
    with pytest.raises(FlobcError) as stop:
        world.run(3, SealingStops)
    assert str(stop.value) == (
        "The chain stopped at height 0: block 1 has 2 readys and 0 seals, but needs 3 of 4 validators; "
        "start the missing validators."
    )
    world.run(3, EmbeddedRun)
    assert world.verify().height == 3


class OutlastingTask(SoftmaxRegression):
    """Its first training takes until ``released`` is set."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self._trainings = itertools.count()

    def train(self, *arguments: Any) -> TrainResult:
        if next(self._trainings) == 0:
            assert self.released.wait(60)
        return super().train(*arguments)


class Releaser(RoundRecorder):
    """Releases the training with the fourth block."""

    def __init__(self, task: OutlastingTask) -> None:
        super().__init__()
        self._task = task

    def on_round(self, report: RoundReport) -> None:
        super().on_round(report)
        if report.height == 4:
            self._task.released.set()


@pytest.mark.parametrize("max_staleness", [0, 1, 4])
def test_a_training_that_outlasts_the_models_it_may_start_from_stops_nobody(max_staleness: int) -> None:
    """SYNC-11: its base is no longer held when it is done; the update is late, and the run goes on."""
    task = OutlastingTask()
    settings = build_settings(
        "bap", params={"max_staleness": max_staleness}, trainers=6, workers=3, rounds=8, clock="wall"
    )
    world = World(settings, task)
    world.recorder = Releaser(task)
    world.run()
    assert world.verify().height == 8
