"""Where a successor could start, read from a chain's log: its certified head, and the locked header above it."""

from __future__ import annotations

from collections.abc import Iterable

from flobc.errors import RemoteProtocolError
from flobc.protocol.chain.block import compute_header_digest
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.consensus.succession import Start, build_first_start
from flobc.protocol.encoding import encode
from flobc.protocol.messages import Ready, decode_record
from flobc.protocol.params import Genesis


def find_starts(genesis: Genesis, records: Iterable[bytes]) -> tuple[Start, ...]:
    """Return the newest certified block (block 0 if there is none), and the locked header above it, if any."""
    return _Search(genesis).run(records)


class _Search:
    """Folds the log and keeps what its end leaves out: the state at each close, and the signed readys."""

    def __init__(self, genesis: Genesis) -> None:
        self._state = build_initial_state(genesis)
        self._head = build_first_start(genesis)
        self._closed_state = b""
        self._readys: dict[bytes, Ready] = {}

    def run(self, records: Iterable[bytes]) -> tuple[Start, ...]:
        for data in records:
            try:
                state = apply_record(self._state, data)
            except RemoteProtocolError:
                continue
            self._take(data, state)
            self._state = state
        locked = self._build_locked()
        return (self._head,) if locked is None else (self._head, locked)

    def _take(self, data: bytes, state: ChainState) -> None:
        if state.height > self._state.height:
            self._head = Start(state.head.header, self._closed_state, state.head.certificate)
        if state.closed is None:
            return
        if self._state.closed is None or self._state.closed.height != state.closed.height:
            # Only now is the core the one that the header commits to: every later record moves it on.
            self._closed_state, self._readys = encode(state.core), {}
        record = decode_record(data)
        if isinstance(record, Ready):
            self._readys[record.validator] = record

    def _build_locked(self) -> Start | None:
        closed = self._state.closed
        if closed is None or closed.locked is None:
            return None
        header = closed.build_header(closed.locked)
        digest = compute_header_digest(header)
        readys = tuple(item for _, item in sorted(self._readys.items()) if item.header == digest)
        return Start(header, self._closed_state, readys=readys)
