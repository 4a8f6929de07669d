"""Whole embedded runs on stores that a test can look into, and the archive of what they leave."""

from __future__ import annotations

import dataclasses
from typing import Any

from examples.numpy_task import task as numpy_task
from flobc.composition.embedded import EmbeddedRun
from flobc.composition.genesis import Federation, build_federation, build_shards
from flobc.composition.reports import Observer, RoundReport, SilentObserver
from flobc.composition.settings import RunSettings
from flobc.composition.stores import Stores, build_memory_stores
from flobc.composition.verification import VerifyReport, verify_chain
from flobc.learning.task import Task
from flobc.protocol.chain.block import Block, Decision
from flobc.protocol.consensus.state import ChainState
from flobc.simulation.archive import StoresArchive
from tests.support.dialogue import build_params

CHUNK_SIZE = 4
"""Cuts the numpy task's nine coordinates into three chunks."""


def build_settings(scheme: str = "bsp", *, params: dict[str, Any] | None = None, **changes: Any) -> RunSettings:
    """Settings of a tiny run: four trainers, four validators, two workers."""
    settings = RunSettings(
        task="numpy-softmax",
        trainers=4,
        rounds=3,
        params=build_params(scheme, **(params or {})),
        chunk_size=CHUNK_SIZE,
        workers=2,
    )
    return dataclasses.replace(settings, **changes)


class RoundRecorder(SilentObserver):
    """Keeps every round's report."""

    def __init__(self) -> None:
        self.rounds: list[RoundReport] = []

    def on_round(self, report: RoundReport) -> None:
        self.rounds.append(report)


class World:
    """One chain's federation, shards and stores: runs come and go on it."""

    def __init__(self, settings: RunSettings, task: Task = numpy_task, stores: Stores | None = None) -> None:
        self.settings = settings
        self.federation: Federation = build_federation(settings, task)
        self.shards = build_shards(settings, task)
        self.stores = stores or build_memory_stores(self.federation.genesis)
        self.recorder = RoundRecorder()

    def run(self, rounds: int | None = None, kind: type[EmbeddedRun] = EmbeddedRun, **seams: Any) -> ChainState:
        """Go on up to ``rounds`` blocks; ``seams`` are handed to a run that has some."""
        observer: Observer = self.recorder
        embedded = kind(self.settings, self.federation, self.shards, self.stores, observer, **seams)
        try:
            embedded.run(rounds or self.settings.rounds)
        finally:
            embedded.close()
        return embedded.state

    @property
    def blocks(self) -> list[Block]:
        return [self.get_block(height) for height in range(1, self.stores.blocks.height + 1)]

    def get_block(self, height: int) -> Block:
        block = self.stores.blocks.get(height)
        assert block is not None
        return block

    def trainer_key(self, index: int) -> bytes:
        return self.federation.trainers[index].public_key

    def get_decisions(self, index: int) -> list[Decision]:
        """Everything decided on a trainer's updates, by its index."""
        key = self.trainer_key(index)
        return [item for block in self.blocks for item in block.body.decisions if item.trainer == key]

    def verify(self) -> VerifyReport:
        """Recompute the whole chain, and require that nothing was skipped and nothing was rejected for a fork."""
        report = verify_chain(StoresArchive(self.federation.genesis, self.stores), full=True)
        assert report.complete
        assert report.height == len(self.blocks)
        assert report.recomputed == tuple(range(1, report.height + 1))
        return report
