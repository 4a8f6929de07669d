"""The ports LedgerPeer and BlobPeer straight on stores of this process."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from flobc.errors import DataError, UsageError
from flobc.learning.model_digest import compute_model_digest
from flobc.ports.blocks import BlockStore
from flobc.ports.models import ModelStore
from flobc.ports.payloads import Payload, PayloadStore
from flobc.ports.states import StateStore
from flobc.protocol.chain.block import EMPTY_BODY, Block
from flobc.protocol.merkle import merkle_root
from flobc.protocol.messages import compute_update_id, verify_header
from flobc.protocol.params import Genesis

POLL_S = 0.02
"""How often a follower looks for the next block; stores do not tell when they grow."""


class MemoryLedgerPeer:
    """A LedgerPeer without a network; what the stores raise goes to the caller."""

    def __init__(self, genesis: Genesis, blocks: BlockStore, states: StateStore, models: ModelStore) -> None:
        self._genesis = genesis
        self._blocks = blocks
        self._states = states
        self._models = models
        self._closed = threading.Event()

    def get_head(self) -> Block | None:
        """Return the newest block with an empty body, or None while there is only the genesis."""
        block = self._blocks.get(self._blocks.height)
        return None if block is None else _drop_body(block)

    def get_block(self, height: int) -> Block | None:
        """Return the block at a height, or None."""
        return self._blocks.get(height)

    def follow(self, height: int) -> Iterator[Block]:
        """Yield each block from ``height`` on, bodies empty, until closed. **Raises** UsageError below 1."""
        if height < 1:
            raise UsageError(f"There is no block {height} to begin with; blocks count from 1.")
        while not self._closed.is_set():
            block = self._blocks.get(height)
            if block is None:
                self._closed.wait(POLL_S)
            else:
                yield _drop_body(block)
                height += 1

    def distrust(self) -> None:
        """Do nothing: there is no other replica."""

    def get_state(self, digest: bytes) -> bytes | None:
        """Return the encoded core state with this digest, or None."""
        return self._states.get(digest)

    def get_model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return the model with this digest, or None. **Shapes**: (D,). **Raises** DataError when it has another."""
        return _read_model(self._models, digest, self._genesis)

    def close(self) -> None:
        """End every ``follow``."""
        self._closed.set()


class MemoryBlobPeer:
    """A BlobPeer without a network; what the stores raise goes to the caller."""

    def __init__(self, genesis: Genesis, payloads: PayloadStore, models: ModelStore) -> None:
        self._genesis = genesis
        self._payloads = payloads
        self._models = models

    def get_model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return the model with this digest, or None. **Shapes**: (D,). **Raises** DataError when it has another."""
        return _read_model(self._models, digest, self._genesis)

    def get_payload(self, update: bytes) -> Payload | None:
        """Return the payload of an update, or None. **Raises** DataError when it is not what its header signs."""
        payload = self._payloads.get(update)
        if payload is None:
            return None
        header = payload.header
        if (
            compute_update_id(header) != update
            or not verify_header(header)
            or len(payload.chunks) != header.num_chunks
            or sum(map(len, payload.chunks)) != header.size_bytes
            or merkle_root(payload.chunks) != header.payload_root
        ):
            raise DataError(f"The payload stored for update {update.hex()[:12]} is another one; drop it there.")
        return payload

    def close(self) -> None:
        """There is nothing to let go of."""


def _read_model(models: ModelStore, digest: bytes, genesis: Genesis) -> NDArray[np.int32] | None:
    model = models.get(digest)
    if model is not None and compute_model_digest(model, genesis.model.chunk_size) != digest:
        raise DataError(f"The model stored as {digest.hex()[:12]} has another digest; drop it there.")
    return model


def _drop_body(block: Block) -> Block:
    return dataclasses.replace(block, body=EMPTY_BODY)
