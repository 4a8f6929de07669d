"""A certified chain with models, states and a payload in memory, for whoever serves it or asks for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.memory import MemoryBlocks, MemoryModels, MemoryPayloads, MemoryStates
from flobc.learning.model_digest import compute_model_digest
from flobc.protocol.chain.block import EMPTY_BODY, Block
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.messages import UpdateHeader
from flobc.protocol.params import Genesis, ModelSpec, TensorSpec
from tests.support.dialogue import Chain

SIZE = 400_001
"""Coordinates of a model: four pieces of a stream, the last one short."""
CHUNK = 65_536
MODEL = ModelSpec((TensorSpec("w", (SIZE,), "float32", "train", 24, 0, 0),), size=SIZE, chunk_size=CHUNK)


def build_model(number: int) -> NDArray[np.int32]:
    return np.random.default_rng(number).integers(-(2**31), 2**31, SIZE, dtype=np.int32)


def drop_body(block: Block) -> Block:
    return replace(block, body=EMPTY_BODY)


class ChainWithModels(Chain):
    """A dialogue on a genesis whose models are large enough to be streamed."""

    def __init__(self, salt: str = "a") -> None:
        super().__init__(salt=salt)
        initial = build_model(0)
        self.genesis = replace(self.genesis, model=MODEL, initial_model=compute_model_digest(initial, MODEL.chunk_size))
        self.state = build_initial_state(self.genesis)
        self.models = [initial]

    def update(self, *args: Any, **changes: Any) -> UpdateHeader:
        return super().update(*args, **({"num_chunks": MODEL.num_chunks} | changes))

    def next_block(self) -> tuple[Block, bytes]:
        """The next block and the encoded state that it commits to."""
        self.close_round()
        state = encode(self.state.core)
        model = build_model(len(self.models))
        block = self.commit(compute_model_digest(model, MODEL.chunk_size))
        self.models.append(model)
        return block, state


@dataclass
class ServedChain:
    """Stores that grow block by block."""

    chain: ChainWithModels = field(default_factory=ChainWithModels)
    states: MemoryStates = field(default_factory=MemoryStates)
    models: MemoryModels = field(default_factory=MemoryModels)
    payloads: MemoryPayloads = field(default_factory=MemoryPayloads)

    def __post_init__(self) -> None:
        self.blocks = MemoryBlocks(self.chain.state.head_digest)
        self.states.put(self.chain.state.head.header.state, encode(self.chain.state.core))
        self.models.put(self.genesis.initial_model, self.chain.models[0])

    @property
    def genesis(self) -> Genesis:
        return self.chain.genesis

    def grow(self, count: int = 1) -> list[Block]:
        """Make and store so many blocks with their states and models."""
        made = []
        for _ in range(count):
            block, state = self.chain.next_block()
            self.states.put(block.header.state, state)
            self.models.put(block.header.model, self.chain.models[-1])
            assert self.blocks.append(block)
            made.append(block)
        return made


class Flaky:
    """A store whose calls raise while ``error`` is set and wait while ``gate`` is clear; outages are the world's."""

    def __init__(self, store: Any) -> None:
        self.store = store
        self.error: Exception | None = None
        self.gate = threading.Event()
        self.gate.set()

    @property
    def height(self) -> int:
        self._pass()
        return self.store.height  # type: ignore[no-any-return]

    def get(self, key: Any) -> Any:
        self._pass()
        return self.store.get(key)

    def _pass(self) -> None:
        self.gate.wait()
        if self.error is not None:
            raise self.error
