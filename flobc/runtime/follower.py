"""Reading and writing the log in one process: each record moves the chain state or is counted as rejected."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from typing import Protocol

from flobc.errors import RemoteProtocolError
from flobc.ports.records import RecordLog
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import Record


class Follower(Protocol):
    """Where a node reads the chain's state and writes its own records."""

    @property
    def state(self) -> ChainState:
        """The chain as far as the log was read."""
        ...

    def is_waiting(self, kind: type[Record]) -> bool:
        """Return whether an earlier message of this kind is on its way; another one would only add to the log."""
        ...

    def publish(self, record: bytes) -> bool:
        """Send a record to the log; return whether the state has moved already."""
        ...


class ChainFollower:
    """One chain's state at the end of its log, shared by all nodes of a process.

    ``on_commit`` is called with the state right after each block got its certificate, ``on_refused``
    with each record that changed nothing.
    """

    def __init__(self, log: RecordLog, state: ChainState, on_commit: Callable[[ChainState], None]) -> None:
        self._log = log
        self.on_commit = on_commit
        self.on_refused: Callable[[bytes], None] = lambda _: None
        self.state = state
        self.offset = 0
        self.rejected: Counter[str] = Counter()
        self._refused: set[bytes] = set()
        self._repeated: deque[bytes] = deque()

    def is_waiting(self, kind: type[Record]) -> bool:
        """Return False: here a record is read back as soon as it is written."""
        del kind
        return False

    def publish(self, record: bytes) -> bool:
        """Append a record, take in everything up to it, and return whether the state moved.

        What was refused since the last block would be refused again, and is not written again.
        """
        if record in self._refused:
            return False
        before = self.state
        if self._repeated and record != self._repeated[0]:
            self._repeated.clear()
            self.catch_up()
            if self.state is not before:
                return True
        if self._repeated:
            self._apply(self._repeated.popleft())
            self.offset += 1
        else:
            self._log.append(record)
            self.catch_up()
        if self.state is before:
            self._refused.add(record)
        return self.state is not before

    def catch_up(self) -> None:
        """Apply every record not yet read."""
        for record in self._log.read(self.offset):
            self._apply(record)
            self.offset += 1

    def go_back(self) -> None:
        """Take in the log up to its last block; the open round's records wait until they are published again.

        For who repeats that round: what is published as it was before is not written a second time, and at the first
        record that differs everything in the log is taken in as it stands.
        """
        last = self.state
        for record in self._log.read(self.offset):
            self._apply(record)
            self.offset += 1
            self._repeated.append(record)
            if self.state.height > last.height:
                last = self.state
                self._repeated.clear()
        self.state = last
        self.offset -= len(self._repeated)

    def _apply(self, record: bytes) -> None:
        height = self.state.height
        try:
            self.state = apply_record(self.state, record)
        except RemoteProtocolError as error:
            self.rejected[error.rule] += 1
            self.on_refused(record)
            return
        if self.state.height > height:
            self._refused.clear()
            self.on_commit(self.state)
