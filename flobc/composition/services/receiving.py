"""Taking in the updates topic: payloads are put together and made durable, requests to join are passed on."""

from __future__ import annotations

import logging
from collections.abc import Callable

from flobc.errors import RemoteProtocolError
from flobc.ports.payloads import Payload, PayloadStore
from flobc.ports.scheduler import Scheduler
from flobc.ports.topics import Entry
from flobc.protocol.consensus.state import build_identity_key
from flobc.protocol.messages import Join, UpdateChunk, UpdateHeader, compute_update_id, decode_record
from flobc.runtime.transfer import Assembler

RETRY_MS = 2_000
MAX_VARIANTS = 2

logger = logging.getLogger(__name__)


class Receiver:
    """Takes records as they come; all its methods run on the loop.

    ``wants`` tells which updates are of use now or after a restart, ``deliver`` is handed the header of each whose
    payload is on disk, ``relay`` each request to join, ``on_begun`` an update's first record. Others' records are
    ignored: anybody may write to this topic.
    """

    def __init__(
        self,
        payloads: PayloadStore,
        scheduler: Scheduler,
        wants: Callable[[UpdateHeader], bool],
        deliver: Callable[[UpdateHeader], None],
        relay: Callable[[Join], None],
        on_begun: Callable[[bytes, Entry], None] = lambda _update, _entry: None,
    ) -> None:
        self._payloads = payloads
        self._scheduler = scheduler
        self._wants = wants
        self._deliver = deliver
        self._relay = relay
        self._on_begun = on_begun
        self._assembler = Assembler(wants)
        self._next: dict[int, int] = {}
        self._begun: dict[bytes, tuple[UpdateHeader, int, int]] = {}
        self._stored: set[bytes] = set()
        self._variants: dict[bytes, set[bytes]] = {}

    def take(self, entries: list[Entry]) -> None:
        """Take in records of the topic."""
        for entry in entries:
            self._next[entry.partition] = entry.offset + 1
            try:
                record = decode_record(entry.value)
            except RemoteProtocolError as error:
                logger.debug("ignored a record of the updates topic: %s", error)
                continue
            if isinstance(record, Join):
                self._relay(record)
            elif isinstance(record, UpdateHeader | UpdateChunk):
                self._take_part(record, entry)

    def forget_unwanted(self) -> None:
        """Let go of what is of no use any more."""
        self._assembler.keep_only(self._wants)
        self._begun = {
            update: begun for update, begun in self._begun.items() if self._is_held(update) and self._wants(begun[0])
        }
        self._stored &= self._begun.keys()
        self._variants = {}
        for update, (header, _, _) in self._begun.items():
            self._variants.setdefault(build_identity_key(header), set()).add(update)

    def get_positions(self) -> dict[int, int]:
        """Return for each partition from where on it must be read again after a restart now.

        From the oldest update on that is still of use, also if it is stored: a power cut may damage what was not
        flushed, at all validators at once.
        """
        positions = dict(self._next)
        for update, (_, partition, offset) in self._begun.items():
            if self._is_held(update):
                positions[partition] = min(positions[partition], offset)
        return positions

    def _is_held(self, update: bytes) -> bool:
        """Whether an update is stored or waits for its rest: the assembler lets the oldest of too many go."""
        return update in self._stored or self._assembler.is_open(update)

    def _is_one_too_many(self, header: UpdateHeader) -> bool:
        """Two headers of one identity convict their trainer; a third would only take room."""
        variants = self._variants.setdefault(build_identity_key(header), set())
        if len(variants) < MAX_VARIANTS:
            variants.add(compute_update_id(header))
        return compute_update_id(header) not in variants

    def _take_part(self, record: UpdateHeader | UpdateChunk, entry: Entry) -> None:
        if isinstance(record, UpdateHeader) and (not self._wants(record) or self._is_one_too_many(record)):
            return
        payload = self._assembler.take(record)
        if isinstance(record, UpdateHeader):
            update = compute_update_id(record)
            if update not in self._begun and (self._assembler.is_open(update) or payload is not None):
                self._begun[update] = (record, entry.partition, entry.offset)
                self._on_begun(update, entry)
        if payload is not None:
            self._stored.add(compute_update_id(payload.header))
            self._store(compute_update_id(payload.header), payload)

    def _store(self, update: bytes, payload: Payload) -> None:
        def put() -> bool:
            try:
                self._payloads.put(update, payload)
            except OSError as error:
                logger.error("An update's payload cannot be kept, trying again: %s", error)
                return False
            return True

        def finish(kept: bool) -> None:
            if kept:
                self._deliver(payload.header)
            elif self._wants(payload.header):
                self._scheduler.call_later(RETRY_MS, lambda: self._store(update, payload))

        self._scheduler.submit("store", put, 0, finish)
