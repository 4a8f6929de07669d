"""The ports over plain lists and dicts."""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterator

import numpy as np
from numpy.typing import NDArray

from flobc.ports.payloads import Payload
from flobc.ports.records import require_record
from flobc.ports.seals import require_approving, require_sealing
from flobc.ports.states import require_state
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.messages import Approve, Seal, UpdateHeader


class MemoryLog:
    """A record log in a list."""

    def __init__(self) -> None:
        self._records: list[bytes] = []

    def append(self, record: bytes) -> int:
        """Add a record and return its offset."""
        require_record(record)
        self._records.append(record)
        return len(self._records) - 1

    def read(self, start: int = 0) -> Iterator[bytes]:
        """Yield the records from ``start`` on."""
        yield from self._records[start:]

    def __len__(self) -> int:
        return len(self._records)


class MemoryPayloads:
    """Payloads in a dict."""

    def __init__(self) -> None:
        self._payloads: dict[bytes, Payload] = {}

    def put(self, update: bytes, payload: Payload) -> None:
        """Keep a payload."""
        self._payloads[update] = payload

    def get(self, update: bytes) -> Payload | None:
        """Return a payload, or None."""
        return self._payloads.get(update)

    def drop(self, updates: Collection[bytes]) -> None:
        """Forget these payloads, if held."""
        for update in updates:
            self._payloads.pop(update, None)

    def list_headers(self) -> list[UpdateHeader]:
        """Return the headers of all payloads held, oldest base first."""
        headers = [payload.header for payload in list(self._payloads.values())]
        return sorted(headers, key=lambda header: (header.base_height, header.trainer, header.k))


class MemoryModels:
    """Models in a dict."""

    def __init__(self) -> None:
        self._models: dict[bytes, NDArray[np.int32]] = {}

    def put(self, digest: bytes, model: NDArray[np.int32]) -> None:
        """Keep a model; the array must not change any more."""
        self._models[digest] = model

    def get(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model, or None."""
        return self._models.get(digest)

    def has(self, digest: bytes) -> bool:
        """Return whether a model is held."""
        return digest in self._models

    def keep_only(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        self._models = {digest: model for digest, model in self._models.items() if digest in digests}


class MemoryBlocks:
    """Blocks in a list."""

    def __init__(self, genesis_header_digest: bytes) -> None:
        self._blocks: list[Block] = []
        self._head = genesis_header_digest

    def append(self, block: Block) -> bool:
        """Add the next block if the head is its parent."""
        if block.header.parent != self._head or block.height != self.height + 1:
            return False
        self._blocks.append(block)
        self._head = compute_header_digest(block.header)
        return True

    def get(self, height: int) -> Block | None:
        """Return the block at a height, or None."""
        return self._blocks[height - 1] if 1 <= height <= len(self._blocks) else None

    @property
    def height(self) -> int:
        """The newest block's height."""
        return len(self._blocks)


class MemorySeals:
    """Seals in a dict: as durable as the process, which is all that an in-memory run promises."""

    def __init__(self) -> None:
        self._seals: dict[bytes, Seal] = {}
        self._approvals: dict[tuple[bytes, bytes], Approve] = {}
        self._lock = threading.Lock()

    def save(self, seal: Seal) -> None:
        """Keep the seal. **Raises** LocalProtocolError after an approval."""
        with self._lock:
            require_sealing(seal, self.load_approve(seal.chain, seal.validator), self.load(seal.validator))
            self._seals[seal.validator] = seal

    def load(self, validator: bytes) -> Seal | None:
        """Return a validator's last seal, or None."""
        return self._seals.get(validator)

    def save_approve(self, approve: Approve) -> None:
        """Keep the approval. **Raises** UsageError when it does not fit what was kept before."""
        with self._lock:
            before = self.load_approve(approve.chain, approve.validator)
            require_approving(approve, self.load(approve.validator), before)
            self._approvals[approve.chain, approve.validator] = approve

    def load_approve(self, chain: bytes, validator: bytes) -> Approve | None:
        """Return a validator's approval of a successor of ``chain``, or None."""
        return self._approvals.get((chain, validator))


class MemoryStates:
    """Encoded core states in a dict."""

    def __init__(self) -> None:
        self._states: dict[bytes, bytes] = {}

    def put(self, digest: bytes, state: bytes) -> None:
        """Keep an encoded state."""
        self._states[digest] = state

    def get(self, digest: bytes) -> bytes | None:
        """Return the encoded state with this digest, or None. **Raises** DataError when it has another one."""
        state = self._states.get(digest)
        if state is not None:
            require_state(digest, state, "memory")
        return state
