"""What services trace: each update from its training to the block that records it.

=========  ======================================  =================================================
span       of                                      below, or linked to
=========  ======================================  =================================================
train      a trainer, an update                    nothing: the update's trace begins here
publish    a trainer, an update                    train
receive    a validator, an update                  publish, by a header of the update's first record
score      a validator, an update                  publish
vote       a validator, an update                  publish
aggregate  a validator, a block                    nothing; linked to the accepted updates
ready      a validator, a block                    aggregate
seal       a validator, a block                    aggregate
record     a ledger, a block                       a seal; linked to votes of the accepted updates
=========  ======================================  =================================================

Calls over gRPC that one of these makes are below it. What others' headers say decides nothing but this.
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from typing import Generic, TypeVar

from flobc.adapters.opentelemetry import open_tracer
from flobc.composition.services.parts import Loop
from flobc.composition.services.settings import ServiceSettings
from flobc.errors import RemoteProtocolError
from flobc.ports.topics import Entry
from flobc.ports.tracing import MAX_TRACES, NO_SPAN, Span, Tracer, get_trace_id, within
from flobc.protocol.chain.block import Block, Reason
from flobc.protocol.consensus.state import ClosedRound
from flobc.protocol.messages import Ready, Record, Seal, Vote, VoteBatch, decode_record
from flobc.protocol.roles.duties import BaseEvaluation, EvaluateBase, ScoreUpdate
from flobc.runtime.outbox import Outbox
from flobc.runtime.scorer import Scorer

MAX_KNOWN = 4_096
"""Of how many updates and blocks a service knows the trace: far more than are under way, and a flooder's limit."""
_VOTES, _READY, _SEAL = 1, 3, 4
"""First bytes of the records that are traced (WIRE-10)."""

K = TypeVar("K")
S = TypeVar("S", bound=ServiceSettings)


def traced(program: str, run: Callable[[S, Loop], None]) -> Callable[[S, Loop], None]:
    """Return what runs a service as ``run`` does, with a tracer; see ``open_tracer`` for where its spans go."""

    def run_traced(settings: S, loop: Loop) -> None:
        tracer = open_tracer(program, f"{socket.gethostname()}:{os.getpid()}", settings.traces_file)
        loop.tracer = tracer
        try:
            run(settings, loop)
        finally:
            tracer.close()

    return run_traced


@contextlib.contextmanager
def spanning(span: Span) -> Iterator[Span]:
    """Let what is done inside belong to a span; it ends with it, and says what was raised."""
    try:
        with within(span.trace):
            yield span
    except BaseException as error:
        span.end(error=type(error).__name__)
        raise
    span.end()


def list_trace_ids(traces: Iterable[str]) -> list[str]:
    """Return the ids of some traces, as log lines name those that were joined."""
    return [get_trace_id(trace) for trace in traces]


class KnownTraces(Generic[K]):
    """Where updates, or blocks, belong: the first thing that is heard counts, and the oldest is forgotten."""

    def __init__(self) -> None:
        self._traces: OrderedDict[K, str] = OrderedDict()

    def note(self, key: K, trace: str) -> None:
        """Take note of a trace, if it is one and nothing is known yet."""
        if trace and key not in self._traces:
            self._traces[key] = trace
            if len(self._traces) > MAX_KNOWN:
                self._traces.popitem(last=False)

    def get(self, key: K) -> str:
        """Return what is known, or ""."""
        return self._traces.get(key, "")


class ValidatorTraces:
    """A validator's spans; ``scorer`` and ``log`` wrap what is to be traced, the rest runs on the loop."""

    def __init__(self, tracer: Tracer) -> None:
        self.tracer = tracer
        self.updates: KnownTraces[bytes] = KnownTraces()
        self.blocks: KnownTraces[int] = KnownTraces()
        self._receiving: OrderedDict[bytes, Span] = OrderedDict()

    def on_begun(self, update: bytes, entry: Entry) -> None:
        """An update's signed header came in."""
        self.updates.note(update, entry.traces[0] if entry.traces else "")
        span = self.tracer.start("receive", self.updates.get(update), update=update.hex())
        self.updates.note(update, span.trace)  # of an update without a trace everything here hangs on this
        self._receiving[update] = span
        if len(self._receiving) > MAX_KNOWN:
            self._receiving.popitem(last=False)

    def on_received(self, update: bytes, size_bytes: int) -> None:
        """An update's whole payload is stored."""
        self._receiving.pop(update, NO_SPAN).end(size_bytes=size_bytes)

    def list_accepted(self, block: Block | ClosedRound) -> list[str]:
        """Return where the updates belong that a block accepted, as far as it is known."""
        return _list_accepted(block, self.updates)


class TracedScorer:
    """A ``Scorer`` whose scorings and aggregations are spans."""

    def __init__(self, scorer: Scorer, traces: ValidatorTraces) -> None:
        self._scorer = scorer
        self._traces = traces
        self.max_jobs = scorer.max_jobs
        self.batch_size = scorer.batch_size

    def evaluate(self, duty: EvaluateBase) -> BaseEvaluation:
        """As the scorer does; it belongs to no update."""
        return self._scorer.evaluate(duty)

    def score(self, duties: Sequence[ScoreUpdate], elapsed_ms: int) -> list[Vote | None]:
        """As the scorer does; each update's span takes as long as the pass that all of them are scored in."""
        traces = self._traces
        with contextlib.ExitStack() as spans:
            for duty in duties:
                parent = traces.updates.get(duty.update)
                span = traces.tracer.start("score", parent, update=duty.update.hex(), batch=len(duties))
                spans.enter_context(spanning(span))
            return self._scorer.score(duties, elapsed_ms)

    def aggregate(self, closed: ClosedRound, parent: bytes) -> bytes:
        """As the scorer does."""
        traces, links = self._traces, self._traces.list_accepted(closed)
        with spanning(traces.tracer.start("aggregate", links=links, height=closed.height)) as span:
            traces.blocks.note(closed.height, span.trace)
            return self._scorer.aggregate(closed, parent)


class TracedLog:
    """Appends to the log and says in each vote, ready and seal where it belongs."""

    def __init__(self, outbox: Outbox, traces: ValidatorTraces) -> None:
        self._outbox = outbox
        self._traces = traces

    def append(self, key: bytes, value: bytes) -> Future[None]:
        """Add a record; its spans last until it is acknowledged."""
        if value[0] not in (_VOTES, _READY, _SEAL):
            return self._outbox.append(key, value)
        spans = list(self._start(decode_record(value)))
        answer = self._outbox.append(key, value, [span.trace for span in spans])
        answer.add_done_callback(lambda done: _end(spans, done))
        return answer

    def _start(self, message: Record) -> Iterator[Span]:
        tracer, traces = self._traces.tracer, self._traces
        if isinstance(message, VoteBatch):
            for vote in message.votes[:MAX_TRACES]:
                parent, fault = traces.updates.get(vote.update), vote.fault.name.lower()
                yield tracer.start("vote", parent, update=vote.update.hex(), score=vote.score, fault=fault)
        elif isinstance(message, Ready | Seal):
            name = "ready" if isinstance(message, Ready) else "seal"
            yield tracer.start(name, traces.blocks.get(message.height), height=message.height)


class LedgerTraces:
    """What a ledger learns of traces from the log, and its spans; all of it runs on the loop."""

    def __init__(self, tracer: Tracer) -> None:
        self._tracer = tracer
        self._updates: KnownTraces[bytes] = KnownTraces()
        self._seals: KnownTraces[int] = KnownTraces()

    def take(self, entries: Iterable[Entry]) -> None:
        """Look at records; whether they are any good is the chain's to find out."""
        for entry in entries:
            if not entry.traces or entry.value[:1] not in (bytes([_VOTES]), bytes([_SEAL])):
                continue
            try:
                message = decode_record(entry.value)
            except RemoteProtocolError:
                continue
            if isinstance(message, VoteBatch):
                for vote, trace in zip(message.votes, entry.traces, strict=False):
                    self._updates.note(vote.update, trace)
            elif isinstance(message, Seal):
                self._seals.note(message.height, entry.traces[0])

    def start_record(self, block: Block) -> Span:
        """Begin the span of a block that is to be recorded."""
        return self._tracer.start(
            "record", self._seals.get(block.height), self.list_accepted(block), height=block.height
        )

    def list_accepted(self, block: Block) -> list[str]:
        """Return where the updates belong that a block accepted, as far as it is known."""
        return _list_accepted(block, self._updates)


def _list_accepted(block: Block | ClosedRound, known: KnownTraces[bytes]) -> list[str]:
    accepted = (item.update for item in block.body.decisions if item.reason is Reason.ACCEPTED)
    return [trace for trace in map(known.get, accepted) if trace][:MAX_TRACES]


def _end(spans: Sequence[Span], answer: Future[None]) -> None:
    error = answer.exception()
    for span in spans:
        if error is None:
            span.end()
        else:
            span.end(error=type(error).__name__)
