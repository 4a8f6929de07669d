"""Every rule with every codec and scheme makes a chain that anyone can recompute; what a round costs in bytes."""

from __future__ import annotations

import functools

import pytest

from flobc.learning.task import Task
from flobc.learning.tasks.synthetic import SyntheticOptions, build_synthetic_task
from flobc.numerics.codecs import CODEC_NAMES
from flobc.numerics.rules import RULE_NAMES
from flobc.protocol.encoding import encode
from flobc.protocol.messages import UpdateHeader
from flobc.protocol.trust.params import POLICIES
from tests.support.embedded import World, build_settings

KIB = 1024


@pytest.mark.parametrize("codec", CODEC_NAMES)
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_every_rule_with_every_codec(rule: str, codec: str) -> None:
    """AGG: six trainers, so that no rule falls back for want of updates."""
    params = {"rule": rule, "codec": codec, "byzantine_ppm": 200_000, "trim_ppm": 200_000}
    world = World(build_settings("bsp", params=params, trainers=6, rounds=2))
    world.run()
    assert world.verify().height == 2
    assert len({block.header.model for block in world.blocks}) == 2


@pytest.mark.parametrize("scheme", ["ssp", "bap"])
@pytest.mark.parametrize("rule", RULE_NAMES)
def test_every_rule_with_late_updates(rule: str, scheme: str) -> None:
    """AGG: discounted updates, and fewer of them than some rules ask for."""
    world = World(build_settings(scheme, params={"rule": rule}))
    world.run()
    assert world.verify().height == 3


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
def test_every_trust_policy_with_an_attacker(policy: str, scheme: str) -> None:
    """TRUST: never all zero, whoever attacks."""
    attacks = ("sign_flip:factor=3@0.25",)
    world = World(build_settings(scheme, params={"policy": policy}, attacks=attacks))
    state = world.run()
    assert world.verify().height == 3
    assert sum(entry.trust for entry in state.core.trust.entries.values()) > 0


def build_large_task(parameters: int) -> Task:
    return build_synthetic_task(SyntheticOptions(examples=200, parameters=parameters), "large")


@functools.cache
def collect_headers(codec: str) -> tuple[UpdateHeader, ...]:
    """The headers of two rounds on a vector of five chunks, the last one short."""
    settings = build_settings("bsp", params={"codec": codec}, chunk_size=4_096, rounds=2)
    world = World(settings, build_large_task(4 * 4_096 + 100))
    world.run()
    return tuple(header for block in world.blocks for header in block.body.headers)


@pytest.mark.parametrize(("codec", "share"), [("int16", 0.55), ("int8", 0.30)])
def test_codecs_save_what_they_promise(codec: str, share: float) -> None:
    plain = collect_headers("float32")
    saved = collect_headers(codec)
    assert len(saved) == len(plain) == 8
    assert sum(header.size_bytes for header in saved) <= share * sum(header.size_bytes for header in plain)


@pytest.mark.parametrize("scheme", ["bsp", "ssp", "bap"])
@pytest.mark.parametrize("parameters", [700, 600_000])
def test_a_round_of_the_paper_takes_little_room_on_the_chain(scheme: str, parameters: int) -> None:
    """Seven trainers, three validators: header, certificate and body, whatever the model's size."""
    settings = build_settings(scheme, trainers=7, validators=3, rounds=2, chunk_size=131_072)
    world = World(settings, build_large_task(parameters))
    world.run()
    sizes = [len(encode(block)) for block in world.blocks]
    assert max(sizes) <= 64 * KIB
    # the vote batches, readys and seals of a round
    log_bytes = sum(map(len, world.stores.log.read())) / len(sizes)
    assert log_bytes <= 64 * KIB
