"""What a running node promises beyond its role: order, patience, and finite numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.adapters.memory import MemorySeals
from flobc.learning.task import Evaluation
from flobc.protocol.messages import Ready, Seal, VoteBatch, decode_record
from flobc.protocol.scoring import LOSS_LIMIT
from flobc.runtime.engine import to_micros
from tests.support.crashes import Killed
from tests.support.embedded import World, build_settings


class BrokenSeals(MemorySeals):
    """A disk that takes no seal."""

    def save(self, seal: Seal) -> None:
        raise Killed


class WatchedSeals(MemorySeals):
    """Notes how long the log was whenever a seal was saved."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self.saved: list[tuple[Seal, int]] = []

    def save(self, seal: Seal) -> None:
        super().save(seal)
        self.saved.append((seal, len(self.world.stores.log)))


def read_log(world: World) -> list[object]:
    return [decode_record(data) for data in world.stores.log.read()]


def test_a_seal_that_cannot_be_saved_is_not_published() -> None:
    """ROUND-15: persist, then publish."""
    world = World(build_settings("bsp", rounds=1))
    world.stores = dataclasses.replace(world.stores, seals=BrokenSeals())
    with pytest.raises(Killed):
        world.run()
    records = read_log(world)
    assert any(isinstance(record, Ready) for record in records)
    assert not any(isinstance(record, Seal) for record in records)


def test_each_seal_is_saved_once_and_before_it_is_in_the_log() -> None:
    """ROUND-15: one seal per validator and height, ever."""
    world = World(build_settings("bsp"))
    watched = WatchedSeals(world)
    world.stores = dataclasses.replace(world.stores, seals=watched)
    world.run()
    identities = [(seal.validator, seal.height) for seal, _ in watched.saved]
    assert len(identities) == len(set(identities))
    positions = {record: index for index, record in enumerate(read_log(world)) if isinstance(record, Seal)}
    assert positions
    for seal, length in watched.saved:
        assert positions.get(seal, length) >= length


@pytest.mark.parametrize(("limit", "most"), [(64, 64), (2, 2), (1, 1)])
def test_votes_travel_together_up_to_the_batch_limit(limit: int, most: int) -> None:
    """ROUND-5: one signature for many votes."""
    world = World(build_settings("bsp", params={"max_votes_per_batch": limit}, trainers=8))
    world.run()
    sizes = [len(record.votes) for record in read_log(world) if isinstance(record, VoteBatch)]
    assert max(sizes) <= most
    assert world.verify().height == 3


LOSSES = st.floats(allow_nan=True, allow_infinity=True)


@given(LOSSES, LOSSES)
def test_micros_are_integers_in_range_whatever_a_task_returns(loss: float, accuracy: float) -> None:
    """ROUND-6: a loss that is not finite counts as the largest, never as an error."""
    found_loss, found_accuracy = to_micros(Evaluation(loss, accuracy, 1))
    assert type(found_loss) is int
    assert type(found_accuracy) is int
    assert 0 <= found_loss <= LOSS_LIMIT
    assert -(2**63) <= found_accuracy < 2**63
    if not np.isfinite(loss):
        assert found_loss == LOSS_LIMIT
