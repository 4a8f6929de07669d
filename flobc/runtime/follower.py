"""Reading the log: each record moves the chain state or is counted as rejected."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass

from flobc.errors import RemoteProtocolError
from flobc.ports.records import RecordLog
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState


@dataclass(frozen=True)
class Rejection:
    """A record that broke a rule and changed nothing."""

    offset: int
    rule: str
    message: str


class ChainFollower:
    """One chain's state at the end of its log, shared by all nodes of a process.

    ``on_commit`` is called with the state right after each block got its certificate.
    """

    def __init__(self, log: RecordLog, state: ChainState, on_commit: Callable[[ChainState], None]) -> None:
        self._log = log
        self.on_commit = on_commit
        self.state = state
        self.offset = 0
        self.rejected: Counter[str] = Counter()
        self.recent_rejections: deque[Rejection] = deque(maxlen=32)

    def publish(self, record: bytes) -> bool:
        """Append a record, take in everything up to it, and return whether the state moved."""
        before = self.state
        self._log.append(record)
        self.catch_up()
        return self.state is not before

    def catch_up(self) -> int:
        """Apply every record not yet read and return how many there were."""
        count = 0
        for record in self._log.read(self.offset):
            self._apply(record)
            self.offset += 1
            count += 1
        return count

    def _apply(self, record: bytes) -> None:
        height = self.state.height
        try:
            self.state = apply_record(self.state, record)
        except RemoteProtocolError as error:
            self.rejected[error.rule] += 1
            self.recent_rejections.append(Rejection(self.offset, error.rule, str(error)))
            return
        if self.state.height > height:
            self.on_commit(self.state)
