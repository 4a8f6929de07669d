"""Payloads on the updates topic: a signed header, then its chunks, each with its Merkle proof (WIRE-12)."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from flobc.ports.payloads import Payload
from flobc.protocol.merkle import leaf_hash, proofs_from_hashes, verify_inclusion
from flobc.protocol.messages import UpdateChunk, UpdateHeader, compute_update_id, encode_record

MAX_OPEN_UPDATES = 8
"""How many unfinished updates of one trainer a receiver holds; a newer one takes the oldest one's place."""
MAX_FINISHED_UPDATES = 64
"""Of how many finished updates of one trainer a receiver knows that it has handed them out."""


def build_records(payload: Payload) -> Iterator[bytes]:
    """Yield the records that carry a payload, in the order in which they must be sent."""
    yield encode_record(payload.header)
    update = compute_update_id(payload.header)
    hashes = payload.leaf_hashes or [leaf_hash(chunk) for chunk in payload.chunks]
    for index, proof in enumerate(proofs_from_hashes(hashes)):
        yield encode_record(UpdateChunk(update, index, proof, payload.chunks[index]))


@dataclass
class _Unfinished:
    header: UpdateHeader
    chunks: dict[int, bytes] = field(default_factory=dict)
    size_bytes: int = 0


class Assembler:
    """Puts payloads together from records that come in any interleaving, some of them anybody's.

    ``wants`` tells whether an update may ever be voted on; nothing else is held. What is held is genuine: each
    chunk is checked against the signed root when it comes, so garbage neither takes room nor a chunk's place.
    Records that come again, as after a sender's restart, do not complete an update a second time.
    """

    def __init__(self, wants: Callable[[UpdateHeader], bool]) -> None:
        self._wants = wants
        self._open: dict[bytes, OrderedDict[bytes, _Unfinished]] = {}
        self._trainers: dict[bytes, bytes] = {}
        self._finished: dict[bytes, deque[bytes]] = {}

    def take(self, record: UpdateHeader | UpdateChunk) -> Payload | None:
        """Take in a record; return the payload that it completes, if it does."""
        if isinstance(record, UpdateHeader):
            return self._take_header(record)
        trainer = self._trainers.get(record.update)
        return None if trainer is None else self._take_chunk(self._open[trainer][record.update], record)

    def is_open(self, update: bytes) -> bool:
        """Return whether parts of an update are held and others are waited for."""
        return update in self._trainers

    def keep_only(self, wants: Callable[[UpdateHeader], bool]) -> None:
        """Forget unfinished updates that nobody wants any more."""
        for queue in list(self._open.values()):
            for update, item in list(queue.items()):
                if not wants(item.header):
                    self._forget(item.header.trainer, update)

    def _take_header(self, header: UpdateHeader) -> Payload | None:
        update = compute_update_id(header)
        if update in self._trainers or update in self._finished.get(header.trainer, ()) or not self._wants(header):
            return None
        queue = self._open.setdefault(header.trainer, OrderedDict())
        queue[update] = _Unfinished(header)
        self._trainers[update] = header.trainer
        if len(queue) > MAX_OPEN_UPDATES:
            self._forget(header.trainer, next(iter(queue)))
        return self._finish(queue[update], update)

    def _take_chunk(self, item: _Unfinished, chunk: UpdateChunk) -> Payload | None:
        header = item.header
        fits = item.size_bytes + len(chunk.payload) <= header.size_bytes
        if chunk.index in item.chunks or not fits:
            return None
        if not verify_inclusion(chunk.payload, chunk.index, header.num_chunks, chunk.proof, header.payload_root):
            return None
        item.chunks[chunk.index] = chunk.payload
        item.size_bytes += len(chunk.payload)
        return self._finish(item, chunk.update)

    def _finish(self, item: _Unfinished, update: bytes) -> Payload | None:
        header = item.header
        if len(item.chunks) < header.num_chunks:
            return None
        self._forget(header.trainer, update)
        if item.size_bytes != header.size_bytes:
            return None
        self._finished.setdefault(header.trainer, deque(maxlen=MAX_FINISHED_UPDATES)).append(update)
        return Payload(header, tuple(item.chunks[index] for index in range(header.num_chunks)))

    def _forget(self, trainer: bytes, update: bytes) -> None:
        queue = self._open[trainer]
        del queue[update], self._trainers[update]
        if not queue:
            del self._open[trainer]
