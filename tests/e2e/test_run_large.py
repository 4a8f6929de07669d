"""A model of eleven million parameters goes through a whole round."""

from __future__ import annotations

import numpy as np

from flobc.learning.data.stratified import split_three_ways
from flobc.learning.models import build_resnet18
from flobc.learning.task import DataSource, Examples, Splits, TrainSettings
from flobc.learning.torch_task import TorchTask
from flobc.protocol.chain.block import Reason
from tests.support.embedded import World, build_settings


def load_noise(source: DataSource) -> Splits:
    """Sixty pictures of nothing: one gradient step needs no more."""
    rng = np.random.default_rng(source.seed)
    features = rng.standard_normal((60, 3, 32, 32), dtype=np.float32)
    return split_three_ways(Examples(features, np.arange(60) % 10), validation=20, test=10)


def test_resnet18_completes_a_round() -> None:
    """Measured beside other work: 10 to 15 s, about 1.6 GB at most with two workers and three trainers."""
    step = TrainSettings(learning_rate=0.001, epochs=None, steps=1, batch_size=8)
    task = TorchTask("resnet18", build_resnet18, load_noise, step, input_shape=(3, 32, 32))
    settings = build_settings(
        "bsp", params={"accept_tolerance": 10**6}, trainers=3, rounds=1, chunk_size=131_072, workers=2
    )
    world = World(settings, task)
    world.run()
    assert world.federation.genesis.model.size == 11_173_962
    assert [item.reason for item in world.get_block(1).body.decisions] == [Reason.ACCEPTED] * 3
    assert world.get_block(1).header.model != world.federation.genesis.initial_model
    assert world.verify().height == 1
