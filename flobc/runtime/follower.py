"""Reading the log: each record moves the chain state or is counted as rejected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

from flobc.errors import RemoteProtocolError
from flobc.ports.records import RecordLog
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState


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

    def publish(self, record: bytes) -> bool:
        """Append a record, take in everything up to it, and return whether the state moved."""
        before = self.state
        self._log.append(record)
        self.catch_up()
        return self.state is not before

    def catch_up(self) -> None:
        """Apply every record not yet read."""
        for record in self._log.read(self.offset):
            self._apply(record)
            self.offset += 1

    def _apply(self, record: bytes) -> None:
        height = self.state.height
        try:
            self.state = apply_record(self.state, record)
        except RemoteProtocolError as error:
            self.rejected[error.rule] += 1
            self.on_refused(record)
            return
        if self.state.height > height:
            self.on_commit(self.state)
