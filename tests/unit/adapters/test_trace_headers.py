"""Where work belongs, as strangers may say it: what is a place in a trace is taken, all else is ignored."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.adapters.kafka.tracing import HEADER, read_traces, write_traces
from flobc.ports.tracing import MAX_TRACES, get_current_trace, get_span_id, get_trace_id, read_traceparent, within
from tests.support.spans import TRACE

GOOD = TRACE.encode()
WRONG = [
    b"",
    b"00",
    GOOD[:-1],
    GOOD + b"0",
    GOOD + b"-",
    GOOD + b"\n",
    b" " + GOOD,
    GOOD.upper(),
    GOOD.replace(b"-", b"_"),
    b"ff" + GOOD[2:],
    GOOD.replace(b"a" * 32, b"0" * 32),
    GOOD.replace(b"b" * 16, b"0" * 16),
    GOOD.replace(b"a", b"g"),
    GOOD * 20_000,
    bytes(1_000_000),
    None,
    TRACE,
    7,
]


def test_a_place_is_read_and_its_version_is_not_looked_at() -> None:
    assert read_traceparent(GOOD) == TRACE
    assert read_traceparent(b"cc" + GOOD[2:]) == TRACE
    assert (get_trace_id(TRACE), get_span_id(TRACE)) == ("a" * 32, "b" * 16)
    assert (get_trace_id(""), get_span_id("")) == ("", "")


@pytest.mark.parametrize("value", WRONG, ids=range(len(WRONG)))
def test_what_is_no_place_is_ignored(value: object) -> None:
    assert read_traceparent(value) == ""


@given(st.integers(0, len(GOOD)), st.integers(0, 2), st.binary(max_size=2))
def test_whatever_is_read_it_is_a_place_or_nothing(start: int, left_out: int, put_in: bytes) -> None:
    trace = read_traceparent(GOOD[:start] + put_in + GOOD[start + left_out :])
    assert trace == "" or (len(trace) == 55 and int(get_trace_id(trace), 16) and int(get_span_id(trace), 16))


@given(st.lists(st.tuples(st.sampled_from([HEADER, "", "tracestate"]), st.none() | st.binary(max_size=4)), max_size=8))
def test_headers_of_any_kind_are_read(headers: list[tuple[str, bytes | None]]) -> None:
    traces = read_traces(headers)
    assert len(traces) == min(MAX_TRACES, sum(name == HEADER for name, _ in headers))


def test_what_is_written_is_read_back_in_its_order_up_to_a_limit() -> None:
    other = TRACE.replace("a", "c")
    assert read_traces(write_traces([TRACE, "", other])) == (TRACE, "", other)
    assert write_traces(["", ""]) == []
    assert len(write_traces([TRACE] * (MAX_TRACES + 1))) == MAX_TRACES
    assert len(read_traces([(HEADER, GOOD)] * 10_000)) == MAX_TRACES


def test_work_belongs_where_it_was_begun_and_no_longer() -> None:
    with within(TRACE):
        with within(""):
            assert get_current_trace() == ""
        assert get_current_trace() == TRACE
    assert get_current_trace() == ""
