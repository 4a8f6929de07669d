"""Where spans go: to a collector, to a file, nowhere; and what is said when they cannot."""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import pytest

from flobc.adapters.opentelemetry import open_tracer
from flobc.adapters.opentelemetry.file import SpanFile
from flobc.composition.local.ports import find_free_port
from flobc.errors import UsageError
from flobc.ports.tracing import MAX_TRACES, get_span_id, get_trace_id, read_traceparent
from tests.support.collector import collecting
from tests.support.spans import TRACE

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"
CLOSE_LIMIT_S = 6.0


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (ENDPOINT, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_TRACES_SAMPLER", "OTEL_SDK_DISABLED"):
        monkeypatch.delenv(name, raising=False)


def read_lines(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_collector_receives_every_span(monkeypatch: pytest.MonkeyPatch) -> None:
    with collecting() as (collector, address):
        monkeypatch.setenv(ENDPOINT, f"http://{address}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "team=north")
        monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "deployment=lab")
        tracer = open_tracer("flobc-trainer", "here:1")
        parent = tracer.start("train", k=0)
        child = tracer.start("publish", parent.trace, [TRACE, ""], update="3f")
        child.end(error="not taken")
        parent.end(update="3f")
        tracer.close()
        (publish, train) = collector.list_spans()
        assert collector.metadata[0]["team"] == "north"
    resource, span = publish
    assert (resource["service.name"], resource["service.instance.id"], resource["deployment"]) == (
        "flobc-trainer",
        "here:1",
        "lab",
    )
    assert (span.name, span.span_id.hex(), span.trace_id.hex()) == (
        "publish",
        get_span_id(child.trace),
        get_trace_id(parent.trace),
    )
    assert span.parent_span_id.hex() == get_span_id(parent.trace) == train[1].span_id.hex()
    assert [link.trace_id.hex() for link in span.links] == ["a" * 32]
    assert {item.key: item.value.string_value for item in span.attributes} == {"update": "3f", "error": "not taken"}
    assert span.status.code == span.status.STATUS_CODE_ERROR
    assert span.end_time_unix_nano >= span.start_time_unix_nano > 0


def test_a_collector_that_is_away_keeps_no_service_from_ending(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{find_free_port()}")
    tracer = open_tracer("flobc-ledger", "here:1")
    for _ in range(10):
        tracer.start("record").end()
    start_s = time.monotonic()
    tracer.close()
    assert time.monotonic() - start_s < CLOSE_LIMIT_S


def test_without_a_collector_places_are_made_all_the_same() -> None:
    tracer = open_tracer("flobc-ledger", "here:1")
    span = tracer.start("record")
    assert read_traceparent(span.trace.encode()) == span.trace != ""
    assert get_trace_id(tracer.start("below", span.trace).trace) == get_trace_id(span.trace)
    span.end()
    span.end(error="twice")
    tracer.close()


def test_who_keeps_a_trace_is_decided_where_it_begins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "parentbased_traceidratio")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER_ARG", "0")
    tracer = open_tracer("flobc-trainer", "here:1", tmp_path / "spans.jsonl")
    left = tracer.start("left out")
    assert get_trace_id(left.trace), "its id goes into logs"
    assert int(left.trace[-2:], 16) & 1 == 0, "and everybody is told that nobody keeps it"
    tracer.start("below", left.trace).end()
    left.end()
    tracer.start("kept", TRACE).end()
    tracer.close()
    assert [line["name"] for line in read_lines(tmp_path / "spans.jsonl")] == ["kept"]


def test_a_library_that_is_switched_off_makes_no_places(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracer = open_tracer("flobc-trainer", "here:1")
    span = tracer.start("train", links=[TRACE])
    assert span.trace == ""
    span.end(update="3f")
    tracer.close()


def test_an_exporter_that_is_missing_is_named_in_one_sentence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://localhost:4317")
    monkeypatch.setitem(sys.modules, "opentelemetry.exporter.otlp.proto.grpc.trace_exporter", None)
    with pytest.raises(UsageError) as caught:
        open_tracer("flobc-trainer", "here:1")
    assert str(caught.value) == (
        "OTEL_EXPORTER_OTLP_ENDPOINT is set, but opentelemetry-exporter-otlp-proto-grpc is missing; install "
        "flobc[tracing], or unset the variable."
    )


def test_another_protocol_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://localhost:4318")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    with pytest.raises(UsageError, match="over gRPC alone, not 'http/protobuf'"):
        open_tracer("flobc-trainer", "here:1")


def test_a_wrong_limit_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT", "many")
    with pytest.raises(UsageError, match="OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"):
        open_tracer("flobc-trainer", "here:1")


def test_a_file_has_a_line_for_each_span(tmp_path: Path) -> None:
    path = tmp_path / "traces" / "ledger-0.jsonl"
    tracer = open_tracer("flobc-ledger", "here:1", path)
    span = tracer.start("record", TRACE, [TRACE] * (2 * MAX_TRACES), height=3)
    span.end(size_bytes=5)
    tracer.close()
    (line,) = read_lines(path)
    links = line.pop("links")
    assert isinstance(links, list)
    assert len(links) == MAX_TRACES
    start_ns, end_ns = line.pop("start_ns"), line.pop("end_ns")
    assert isinstance(start_ns, int)
    assert isinstance(end_ns, int)
    assert 0 < start_ns <= end_ns
    assert line == {
        "name": "record",
        "trace_id": "a" * 32,
        "span_id": get_span_id(span.trace),
        "parent_id": "b" * 16,
        "service": "flobc-ledger",
        "node": "here:1",
        "attributes": {"height": 3, "size_bytes": 5},
    }


def test_a_file_that_has_grown_long_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    path.write_text("old\n")
    SpanFile(path, max_bytes=3).export([])
    assert (tmp_path / "spans.jsonl.old").read_text() == "old\n"
    assert path.read_text() == ""


def test_a_file_that_cannot_be_written_harms_nobody(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    tracer = open_tracer("flobc-ledger", "here:1", tmp_path)
    tracer.start("record").end()
    tracer.close()
    assert "1 spans cannot be written" in caplog.text
