"""Where a record belongs, in its headers: W3C ``traceparent``, once for each trace that the record speaks of."""

from __future__ import annotations

from collections.abc import Sequence

from flobc.ports.tracing import MAX_TRACES, read_traceparent

HEADER = "traceparent"


def write_traces(traces: Sequence[str]) -> list[tuple[str, bytes]]:
    """Return a record's headers; "" leaves a place empty, for the order tells which is which."""
    return [(HEADER, trace.encode()) for trace in traces[:MAX_TRACES]] if any(traces) else []


def read_traces(headers: Sequence[tuple[str, bytes | None]]) -> tuple[str, ...]:
    """Return what a record's headers say, "" for what is no place in a trace: anybody may write anything there."""
    if not headers:
        return ()
    values = [value for name, value in headers if name == HEADER]
    return tuple(map(read_traceparent, values[:MAX_TRACES]))
