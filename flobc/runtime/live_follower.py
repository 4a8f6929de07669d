"""Reading and writing a log that other processes write too: records count when they are read back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import Future
from dataclasses import dataclass

from flobc.errors import RemoteProtocolError, TransientError
from flobc.ports.scheduler import Scheduler
from flobc.ports.topics import Entry, Topic
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import Record, get_record_type

RESEND_MS = 5_000
"""After how long a record that was not read back is sent again: a thousand times what a healthy broker needs."""


@dataclass(frozen=True)
class _Sent:
    record: bytes


class LiveFollower:
    """One process's view of the log; all its methods run on the scheduler's loop.

    ``caught_up`` is False until everything was read that the log held at the start: before, what the
    state seems to owe may long have been paid. ``on_commit`` is called with the state after each block got
    its certificate, ``on_closed`` when a round closes, ``on_refused`` with each record that changed nothing,
    ``on_lost`` when something sent was not read back, or was refused because others' records came first: what is
    owed must then be derived again.
    """

    def __init__(self, log: Topic, state: ChainState, scheduler: Scheduler) -> None:
        self._log = log
        self._scheduler = scheduler
        self._sent: dict[int, _Sent] = {}
        self._refused: set[bytes] = set()
        self._target = log.ends().get(0, 0)
        self.state = state
        self.offset = 0
        self.rejected: Counter[str] = Counter()
        self.on_commit: Callable[[ChainState], None] = lambda _: None
        self.on_closed: Callable[[ChainState], None] = lambda _: None
        self.on_refused: Callable[[bytes], None] = lambda _: None
        self.on_lost: Callable[[], None] = lambda: None

    @property
    def caught_up(self) -> bool:
        """Whether everything was read that the log held when this process began."""
        return self.offset >= self._target

    def is_waiting(self, message: Record) -> bool:
        """Return whether a message of this kind is on its way: it may settle what this one would say."""
        return get_record_type(message) in self._sent

    def publish(self, record: bytes) -> bool:
        """Send a record; the state moves when it is read back, so this returns False.

        What was sent and refused since the last block would be refused again, and is not sent again.
        """
        if record in self._refused:
            return False
        kind, sent = record[0], _Sent(record)
        self._sent[kind] = sent
        try:
            answer = self._log.append(b"", record)
        except TransientError as error:
            self._scheduler.call_later(int(error.delay_s * 1000), lambda: self._forget(kind, sent))
            return False
        answer.add_done_callback(lambda future: self._on_answer(kind, sent, future))
        self._scheduler.call_later(RESEND_MS, lambda: self._forget(kind, sent))
        return False

    def start_again(self, state: ChainState) -> None:
        """Forget what was read: the log is handed over once more, from its beginning."""
        self.state, self.offset = state, 0

    def take(self, entries: Iterable[Entry]) -> None:
        """Apply records in the order in which they stand in the log."""
        for entry in entries:
            self._apply(entry.value)
            self.offset = entry.offset + 1

    def _apply(self, record: bytes) -> None:
        before, waiting = self.state, len(self._sent)
        self._sent = {kind: sent for kind, sent in self._sent.items() if sent.record != record}
        try:
            self.state = apply_record(before, record)
        except RemoteProtocolError as error:
            self.rejected[error.rule] += 1
            self.on_refused(record)
            if len(self._sent) < waiting:
                self._refused.add(record)
                self.on_lost()
            return
        has_block = self.state.height > before.height
        if has_block:
            self._refused.clear()
            self.on_commit(self.state)
        # The last seal of one round closes the next one when its votes are all there already.
        if self.state.closed is not None and (before.closed is None or has_block):
            self.on_closed(self.state)

    def _on_answer(self, kind: int, sent: _Sent, future: Future[None]) -> None:
        """Runs on the client's thread. A failed record may be in the log all the same: equal ones do no harm."""
        if future.exception() is not None:
            self._scheduler.post(lambda: self._forget(kind, sent))

    def _forget(self, kind: int, sent: _Sent) -> None:
        if self._sent.get(kind) is sent:
            del self._sent[kind]
            self.on_lost()
