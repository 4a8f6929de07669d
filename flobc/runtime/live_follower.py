"""Reading and writing a log that other processes write too: records count when they are read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Protocol

from flobc.errors import FlobcError, RemoteProtocolError, TransientError
from flobc.ports.scheduler import Scheduler
from flobc.ports.topics import Entry
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import Record, get_record_type

RESEND_MS = 5_000
"""How long after its acknowledgement a record that was not read back is sent again: a thousand healthy round trips."""


class Appender(Protocol):
    """The writing half of a topic (``Topic.append``); one that never blocks, for it is called on the loop."""

    def append(self, key: bytes, value: bytes) -> Future[None]:
        """Add a record; the future tells what became of it."""
        ...


@dataclass(frozen=True)
class _Sent:
    record: bytes


class LiveFollower:
    """One process's view of the log; all its methods run on the scheduler's loop.

    ``caught_up`` is False until everything was read that the log held at the start, which ``expect`` tells: before,
    what the state seems to owe may long have been paid. ``on_commit`` is called with the state after each block got
    its certificate, ``on_closed`` when a round closes, ``on_refused`` with each record that changed nothing and the
    rule it broke, ``on_record`` with the states before and after each of the others, ``on_lost`` when something
    sent was not read back, or was refused because others' records came first: what is owed must then be derived
    again. ``on_failure`` gets what no trying again can mend. ``apply`` is the transition function, or one that
    knows its results already.
    """

    def __init__(
        self,
        log: Appender,
        state: ChainState,
        scheduler: Scheduler,
        offset: int = 0,
        apply: Callable[[ChainState, bytes], ChainState] = apply_record,
    ) -> None:
        self._log = log
        self._apply_record = apply
        self._scheduler = scheduler
        self._sent: dict[int, _Sent] = {}
        self._refused: set[bytes] = set()
        self._target: int | None = None
        self.state = state
        self.offset = offset
        self.rejected: Counter[str] = Counter()
        self.on_commit: Callable[[ChainState], None] = lambda _: None
        self.on_closed: Callable[[ChainState], None] = lambda _: None
        self.on_refused: Callable[[bytes, str], None] = lambda _record, _rule: None
        self.on_record: Callable[[ChainState, ChainState], None] = lambda _before, _after: None
        self.on_lost: Callable[[], None] = lambda: None
        self.on_failure: Callable[[FlobcError], None] = lambda _: None

    @property
    def caught_up(self) -> bool:
        """Whether everything was read that the log held when this process began."""
        return self._target is not None and self.offset >= self._target

    def expect(self, ends: Mapping[int, int]) -> None:
        """Take note of where the log ended when this process began to read it."""
        self._target = ends.get(0, 0)

    def is_waiting(self, kind: type[Record]) -> bool:
        """Return whether a message of this kind is on its way: it may settle what this one would say."""
        return get_record_type(kind) in self._sent

    def publish(self, record: bytes) -> bool:
        """Send a record; the state moves when it is read back, so this returns False.

        What was sent and refused since the last block would be refused again, and is not sent again.
        """
        if record in self._refused:
            return False
        kind, sent = record[0], _Sent(record)
        self._sent[kind] = sent
        answer = self._log.append(b"", record)
        answer.add_done_callback(lambda future: self._on_answer(kind, sent, future))
        return False

    def start_again(self, state: ChainState) -> None:
        """Forget what was read: the log is handed over once more, from its beginning."""
        self.state, self.offset = state, 0

    def take(self, entries: Iterable[Entry]) -> None:
        """Apply records in the order in which they stand in the log."""
        for entry in entries:
            self.offset = entry.offset + 1  # first: whoever is told of a block may note where to go on from
            self._apply(entry.value)

    def _apply(self, record: bytes) -> None:
        before, waiting = self.state, len(self._sent)
        self._sent = {kind: sent for kind, sent in self._sent.items() if sent.record != record}
        try:
            self.state = self._apply_record(before, record)
        except RemoteProtocolError as error:
            self.rejected[error.rule] += 1
            self.on_refused(record, error.rule)
            if len(self._sent) < waiting:
                self._refused.add(record)
                self.on_lost()
            return
        self.on_record(before, self.state)
        has_block = self.state.height > before.height
        if has_block:
            self._refused.clear()
            self.on_commit(self.state)
        # The last seal of one round closes the next one when its votes are all there already.
        if self.state.closed is not None and (before.closed is None or has_block):
            self.on_closed(self.state)

    def _on_answer(self, kind: int, sent: _Sent, future: Future[None]) -> None:
        """Runs on the client's thread. A failed record may be in the log all the same: equal ones do no harm."""
        error = future.exception()
        if isinstance(error, FlobcError) and not isinstance(error, TransientError):
            failure = error
            self._scheduler.post(lambda: self.on_failure(failure))
        delay_ms = int(error.delay_s * 1000) if isinstance(error, TransientError) else RESEND_MS
        self._scheduler.post(lambda: self._scheduler.call_later(delay_ms, lambda: self._forget(kind, sent)))

    def _forget(self, kind: int, sent: _Sent) -> None:
        if self._sent.get(kind) is sent:
            del self._sent[kind]
            self.on_lost()
