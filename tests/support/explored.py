"""A made chain that a real ledger serves and a real explorer shows; it grows, lies and goes away as a test says."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from flobc.adapters.grpc import LedgerServer, Patience
from flobc.adapters.memory import MemoryBlocks, MemoryModels, MemoryStates
from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.serving import WebServer
from flobc.composition.explorer.sources import LedgerSource
from flobc.errors import DataError
from flobc.learning.model_digest import compute_model_digest
from flobc.ports.metrics import SILENCE, Meter
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.messages import Fault
from flobc.protocol.params import ModelSpec, TensorSpec
from tests.support.dialogue import Chain, digest

PATIENCE_S = 60.0
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{7*7}}"
CLAIMS = {"num_examples": 2**64 - 1}
"""What a trainer writes into a header is its own word."""
LAST_MODEL = 59
"""From this height on the model stays as it is."""
MODEL = ModelSpec((TensorSpec("w", (4,), "float32", "train", 24, -(2**31), 2**31 - 1),), size=4, chunk_size=4)


class LyingBlocks(MemoryBlocks):
    """Blocks of which some are told differently from what was stored."""

    def __init__(self, genesis_header_digest: bytes) -> None:
        super().__init__(genesis_header_digest)
        self.lies: dict[int, Callable[[Block], Block]] = {}
        self.damaged: set[int] = set()

    def get(self, height: int) -> Block | None:
        if height in self.damaged:
            raise DataError(f"Block {height} is damaged (its body is gone).")
        block = super().get(height)
        return self.lies[height](block) if block is not None and height in self.lies else block


class AskedModels(MemoryModels):
    """Models that note which of them are asked for, and give none before they may."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[bytes] = []
        self.may_answer = threading.Event()
        self.may_answer.set()

    def get(self, digest: bytes) -> NDArray[np.int32] | None:
        self.asked.append(digest)
        self.may_answer.wait(PATIENCE_S)
        return super().get(digest)


class ExploredChain:
    """One ledger's stores; round after round the loss falls, one trainer's update is refused, one is faulty."""

    def __init__(self, **changes: Any) -> None:
        self.chain = Chain(trainers=4, **changes)
        initial = np.zeros(4, dtype=np.int32)
        self.chain.genesis = dataclasses.replace(
            self.chain.genesis,
            name=HOSTILE,
            task=HOSTILE,
            model=MODEL,
            initial_model=compute_model_digest(initial, MODEL.chunk_size),
        )
        self.chain.state = build_initial_state(self.chain.genesis)
        self.blocks = LyingBlocks(self.chain.state.head_digest)
        self.states, self.models = MemoryStates(), AskedModels()
        self.models.put(self.chain.genesis.initial_model, initial)
        self.server: LedgerServer | None = None
        self.address = "127.0.0.1:0"

    def grow(self, count: int = 1) -> None:
        """Make and store so many blocks."""
        for _ in range(count):
            block, state = self._play_round()
            self.states.put(block.header.state, state)
            assert self.blocks.append(block)
            if self.server is not None:
                self.server.notify(block.height)

    def open(self) -> None:
        """Serve, at the same address as before."""
        self.server = LedgerServer(self.chain.genesis, self.blocks, self.states, self.models)
        self.address = self.server.start(self.address)

    def shut(self) -> None:
        """Serve no more."""
        if self.server is not None:
            self.server.stop(0)
            self.server = None

    def _play_round(self) -> tuple[Block, bytes]:
        chain, height = self.chain, self.chain.state.height + 1
        for validator in range(4):
            chain.report(validator, loss=2_000_000 // height, accuracy=900_000 - 700_000 // height)
        updates = [chain.update(trainer, **CLAIMS) for trainer in range(4)]
        chain.faults(updates[3], Fault.NON_FINITE, Fault.NON_FINITE, Fault.NON_FINITE)
        chain.votes(updates[2], -300_000, -310_000, -290_000)
        chain.votes(updates[1], 50_000, 60_000, 40_000)
        if chain.state.closed is None:
            chain.votes(updates[0], 100_000, 120_000, 80_000)
        while chain.state.closed is None:
            chain.expire()
        state = encode(chain.state.core)
        model = np.full(4, min(height, LAST_MODEL), dtype=np.int32)
        found = compute_model_digest(model, MODEL.chunk_size)
        self.models.put(found, model)
        return chain.commit(found), state


class Viewer:
    """An explorer on a port of its own, and somebody who reads its pages."""

    def __init__(
        self, world: ExploredChain, is_trusted: bool = True, meter: Meter = SILENCE, directory: Path | None = None
    ) -> None:
        self.world = world
        source = LedgerSource([world.address], None, world.chain.genesis, Patience(retry_s=0.2))
        self.explorer = Explorer(source, is_trusted, directory, meter)
        self.server = WebServer(self.explorer)
        self.address = self.server.start("127.0.0.1:0")
        self.client = httpx.Client(base_url=self.address, timeout=PATIENCE_S)

    def get(self, path: str, status: int = 200, **options: Any) -> httpx.Response:
        answer = self.client.get(path, **options)
        assert answer.status_code == status, answer.text
        return answer

    def wait_for(self, condition: Callable[[], bool], what: str) -> None:
        until_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < until_s, f"{what} did not happen: {self.explorer.follower.condition}"
            time.sleep(0.005)

    def wait_for_height(self, height: int) -> None:
        self.wait_for(lambda: self.explorer.index.height >= height, f"block {height}")

    def close(self) -> None:
        self.client.close()
        self.server.stop()


@contextmanager
def explored(blocks: int, meter: Meter = SILENCE, **changes: Any) -> Iterator[Viewer]:
    """A chain of so many blocks, all of them indexed."""
    world = ExploredChain(**changes)
    world.grow(blocks)
    world.open()
    viewer = Viewer(world, meter=meter)
    try:
        viewer.wait_for_height(blocks)
        yield viewer
    finally:
        viewer.close()
        world.shut()


NOWHERE = digest("nowhere").hex()
