"""The port Tracer over OpenTelemetry's SDK."""

from __future__ import annotations

import threading
from collections.abc import Sequence

from opentelemetry.context import Context
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import (
    Link,
    NonRecordingSpan,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)
from opentelemetry.trace import Span as Noted

from flobc.ports.tracing import MAX_TRACES, Span, get_span_id, get_trace_id

CLOSE_S = 2.0
"""How long the last spans may take to be written or sent: a service has to end in time."""


class SdkSpan:
    """A span of the SDK."""

    def __init__(self, span: Noted) -> None:
        self._span = span
        context = span.get_span_context()
        self.trace = (
            f"00-{context.trace_id:032x}-{context.span_id:016x}-{context.trace_flags:02x}" if context.is_valid else ""
        )

    def end(self, **attributes: str | int) -> None:
        """It is done."""
        if not self._span.is_recording():
            return
        if attributes:
            self._span.set_attributes(attributes)
        if "error" in attributes:
            self._span.set_status(Status(StatusCode.ERROR, str(attributes["error"])))
        self._span.end()


class SdkTracer:
    """``flobc.ports.tracing.Tracer`` on a provider, which decides what is kept and where it goes."""

    def __init__(self, provider: TracerProvider) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("flobc")

    def start(self, name: str, parent: str = "", links: Sequence[str] = (), **attributes: str | int) -> Span:
        """Begin a span."""
        context = Context()  # never the library's own idea of what is under way
        if parent:
            context = set_span_in_context(NonRecordingSpan(_build_context(parent)), context)
        joined = [Link(_build_context(trace)) for trace in links[:MAX_TRACES] if trace]
        return SdkSpan(self._tracer.start_span(name, context, attributes=attributes, links=joined))

    def close(self) -> None:
        """Write or send what waits, as far as that can be had in time."""
        closing = threading.Thread(target=self._provider.shutdown, name="flobc-traces", daemon=True)
        closing.start()
        closing.join(CLOSE_S)


def _build_context(trace: str) -> SpanContext:
    return SpanContext(
        int(get_trace_id(trace), 16),
        int(get_span_id(trace), 16),
        is_remote=True,
        trace_flags=TraceFlags(int(trace[53:], 16)),
    )
