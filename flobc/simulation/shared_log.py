"""The one log of a world: each record moves the state once, and every follower that reads it is shown the same one."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flobc.errors import RemoteProtocolError
from flobc.ports.records import RecordLog
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState


@dataclass(frozen=True)
class _Step:
    """What a record made of a state: another one, or nothing and why."""

    before: ChainState
    record: bytes
    after: ChainState
    broken: tuple[str, str, str] | None


class SharedLog:
    """The log's records in order, and the states between them as long as a follower may ask for them.

    ``on_append`` is told of each record with its offset, ``on_commit`` of the state after each block.
    """

    def __init__(self, log: RecordLog, state: ChainState) -> None:
        self._log = log
        self._steps: dict[tuple[int, int], _Step] = {}
        self._keys: list[tuple[int, int]] = []
        self._first = 0
        self.state = state
        self.length = 0
        self.size_bytes = 0
        self.on_append: Callable[[int, bytes], None] = lambda _offset, _record: None
        self.on_commit: Callable[[ChainState], None] = lambda _: None

    def append(self, record: bytes) -> None:
        """Add a record at the end."""
        record = bytes(memoryview(record))  # a copy of its own, so that equal records at two places are told apart
        self._log.append(record)
        step = self._fold(record)
        key = (id(step.before), id(record))
        self._steps[key] = step
        self._keys.append(key)
        height, self.state = self.state.height, step.after
        offset, self.length = self.length, self.length + 1
        self.size_bytes += len(record)
        if self.state.height > height:
            self.on_commit(self.state)
        self.on_append(offset, record)

    def apply(self, state: ChainState, record: bytes) -> ChainState:
        """As ``apply_record`` for a record of this log, without doing it again. **Raises** RemoteProtocolError."""
        step = self._steps.get((id(state), id(record)))
        if step is None:
            return apply_record(state, record)
        if step.broken is not None:
            raise RemoteProtocolError(*step.broken)
        return step.after

    def forget(self, offset: int) -> None:
        """Let go of the states before ``offset``, which every follower has passed."""
        done = max(0, offset - self._first)
        for key in self._keys[:done]:
            del self._steps[key]
        del self._keys[:done]
        self._first += done

    def _fold(self, record: bytes) -> _Step:
        try:
            return _Step(self.state, record, apply_record(self.state, record), None)
        except RemoteProtocolError as error:
            return _Step(self.state, record, self.state, (error.rule, error.expected, error.found))
