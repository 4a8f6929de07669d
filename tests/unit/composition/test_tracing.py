"""What services trace: an update's spans hang together in all of them, and no header changes what they do."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.composition.local.traces import select_update
from flobc.composition.services.serving import JsonFormatter
from flobc.composition.services.tracing import (
    MAX_KNOWN,
    KnownTraces,
    LedgerTraces,
    TracedLog,
    ValidatorTraces,
    spanning,
)
from flobc.composition.settings import RunSettings
from flobc.errors import TransientError
from flobc.ports.topics import Entry
from flobc.ports.tracing import get_current_trace, get_span_id, get_trace_id, within
from flobc.protocol.messages import Fault, Seal, Timeout, Vote, VoteBatch, encode_record
from flobc.runtime.outbox import Outbox
from flobc.runtime.scheduling import WallScheduler
from tests.support.dialogue import build_params, digest
from tests.support.services import TASK, ServiceWorld
from tests.support.spans import TRACE, KeptSpans, find_orphans, is_connected

ROUNDS = 3
QUORUM = 3


@pytest.fixture
def kept() -> KeptSpans:
    return KeptSpans()


@pytest.fixture
def world(tmp_path: Path, kept: KeptSpans) -> Iterator[ServiceWorld]:
    params = build_params("bsp", period_ms=4_000)
    made = ServiceWorld(RunSettings(task=TASK, trainers=2, validators=4, params=params, chunk_size=4, seed=3), tmp_path)
    made.tracer = kept.tracer
    yield made
    made.stop()


def test_an_update_has_one_trace_from_its_training_to_its_block(world: ServiceWorld, kept: KeptSpans) -> None:
    world.start()
    world.wait_for_height(ROUNDS)
    block = next(block for block in world.get_blocks() if block.accepted and block.height > 1)
    update = block.accepted[0].update.hex()
    world.stop()
    found = select_update(kept.list_spans(), update)
    own = [span for span in found if span.attributes.get("update") == update]
    assert len({span.trace_id for span in own}) == 1
    names = [span.name for span in own]
    assert (names.count("train"), names.count("publish")) == (1, 1)
    assert min(names.count(name) for name in ("receive", "score", "vote")) >= QUORUM
    assert is_connected(found)
    records = [span for span in found if span.name == "record" and span.attributes["height"] == block.height]
    assert len(records) == 1
    assert own[0].trace_id in records[0].links
    assert records[0].parent_id in {span.span_id for span in found if span.name == "seal"}
    parents = {span.span_id: span.name for span in found}
    assert {parents.get(span.parent_id, "") for span in found if span.name in ("receive", "score", "vote")} == {
        "publish"
    }
    assert find_orphans(found) == []


class Acknowledging:
    """A topic that keeps what it is given."""

    def __init__(self, error: Exception | None = None) -> None:
        self.appended: list[tuple[bytes, tuple[str, ...]]] = []
        self.error = error

    def append(self, key: bytes, value: bytes, traces: tuple[str, ...] = ()) -> Future[None]:
        self.appended.append((value, tuple(traces)))
        answer: Future[None] = Future()
        if self.error is None:
            answer.set_result(None)
        else:
            answer.set_exception(self.error)
        return answer


def build_votes(*updates: bytes) -> bytes:
    votes = tuple(Vote(update, 5, Fault.NONE, 0) for update in updates)
    return encode_record(VoteBatch(digest("chain"), digest("v"), None, (), votes))


def build_seal(height: int = 2) -> bytes:
    return encode_record(Seal(digest("chain"), digest("v"), height, digest("head")))


def test_a_vote_says_of_each_update_where_it_belongs(kept: KeptSpans) -> None:
    topic, traces = Acknowledging(), ValidatorTraces(kept.tracer)
    traces.on_begun(digest("a"), Entry(0, 0, b"", (TRACE,)))
    outbox = Outbox(topic)  # type: ignore[arg-type]  # all of a topic that is asked for
    log, record = TracedLog(outbox, traces), build_votes(digest("a"), digest("unknown"))
    log.append(b"", record).result(10)
    timeout = encode_record(Timeout(digest("chain"), digest("v"), 1, 0))
    log.append(b"", timeout).result(10)
    outbox.stop(10)
    (value, (first, second)), other = topic.appended
    assert (value, other) == (record, (timeout, ())), "not a byte of a record is another one"
    assert get_trace_id(first) == get_trace_id(TRACE) != get_trace_id(second)
    spans = {span.span_id: span for span in kept.list_spans() if span.name == "vote"}
    assert spans[get_span_id(first)].parent_id == get_span_id(TRACE)
    assert spans[get_span_id(first)].attributes == {"update": digest("a").hex(), "score": 5, "fault": "none"}


def test_a_record_that_is_not_taken_says_so_in_its_span(kept: KeptSpans) -> None:
    topic = Acknowledging(TransientError("away", 1.0))
    outbox = Outbox(topic)  # type: ignore[arg-type]
    answer = TracedLog(outbox, ValidatorTraces(kept.tracer)).append(b"", build_seal())
    assert isinstance(answer.exception(10), TransientError)
    outbox.stop(10)
    (span,) = kept.list_spans()
    assert (span.name, span.attributes) == ("seal", {"height": 2, "error": "TransientError"})


def test_an_update_without_a_header_has_a_trace_of_the_validators_own(kept: KeptSpans) -> None:
    traces = ValidatorTraces(kept.tracer)
    traces.on_begun(digest("a"), Entry(0, 0, b""))
    traces.on_received(digest("a"), 7)
    (span,) = kept.list_spans()
    assert (span.parent_id, span.trace_id) == ("", get_trace_id(traces.updates.get(digest("a"))))


noise = st.builds(
    Entry,
    st.just(0),
    st.just(0),
    st.one_of(
        st.binary(max_size=200),
        st.binary(max_size=60).map(lambda rest: b"\x01" + rest),
        st.binary(max_size=60).map(lambda rest: b"\x04" + rest),
        st.sampled_from([build_votes(), build_votes(digest("a")), build_seal()]),
    ),
    st.lists(st.sampled_from(["", TRACE]), min_size=1, max_size=5).map(tuple),
)


@given(st.lists(noise, max_size=5))
def test_a_ledger_looks_at_any_record_and_any_header(entries: list[Entry]) -> None:
    LedgerTraces(KeptSpans().tracer).take(entries)


def test_the_first_place_that_is_heard_counts_and_a_flood_takes_no_room() -> None:
    known: KnownTraces[int] = KnownTraces()
    known.note(0, "")
    known.note(0, TRACE)
    known.note(0, TRACE.replace("a", "c"))
    assert known.get(0) == TRACE
    for number in range(1, MAX_KNOWN + 1):
        known.note(number, TRACE)
    assert known.get(0) == ""
    assert known.get(1) == TRACE
    assert len(known._traces) == MAX_KNOWN


def test_updates_that_never_become_whole_take_no_room(kept: KeptSpans) -> None:
    traces = ValidatorTraces(kept.tracer)
    for number in range(MAX_KNOWN + 5):
        traces.on_begun(number.to_bytes(32, "big"), Entry(0, 0, b"", (TRACE,)))
    assert len(traces._receiving) == MAX_KNOWN


def test_a_span_says_what_was_raised_and_what_is_done_inside_belongs_to_it(kept: KeptSpans) -> None:
    def fail(trace: str) -> None:
        assert get_current_trace() == trace
        raise TransientError("away", 1.0)

    with pytest.raises(TransientError), spanning(kept.tracer.start("record")) as span:
        fail(span.trace)
    assert kept.list_spans()[0].attributes == {"error": "TransientError"}
    assert get_current_trace() == ""


def test_work_on_a_worker_belongs_where_it_was_submitted() -> None:
    found: list[str] = []
    with ThreadPoolExecutor(1) as executor:
        scheduler = WallScheduler(executor)
        with within(TRACE):
            scheduler.submit("work", get_current_trace, 0, found.append)
        scheduler.submit("work", get_current_trace, 0, found.append)
        assert scheduler.run_until(lambda: len(found) == 2)
    assert found == [TRACE, ""]


def read_log(**extra: object) -> dict[str, object]:
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonFormatter())
    logger = logging.Logger("test")
    logger.addHandler(handler)
    logger.info("said", extra=extra)
    found: dict[str, object] = json.loads(stream.getvalue())
    return found


def test_log_lines_name_the_trace_that_they_belong_to() -> None:
    assert "trace_id" not in read_log(trace="")
    named = read_log(trace=TRACE, linked_trace_ids=["c" * 32])
    assert (named["trace_id"], named["span_id"], named["linked_trace_ids"]) == ("a" * 32, "b" * 16, ["c" * 32])
    with within(TRACE):
        assert read_log()["trace_id"] == "a" * 32
