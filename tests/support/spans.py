"""Spans in memory, and whether they hang together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from flobc.adapters.opentelemetry import SdkTracer
from flobc.adapters.opentelemetry.file import describe_span
from flobc.composition.local.traces import WrittenSpan, _build_span

TRACE = f"00-{'a' * 32}-{'b' * 16}-01"


class KeptSpans:
    """A tracer, and what was ended by it so far."""

    def __init__(self) -> None:
        self._kept = InMemorySpanExporter()
        provider = TracerProvider(shutdown_on_exit=False)
        provider.add_span_processor(SimpleSpanProcessor(self._kept))
        self.tracer = SdkTracer(provider)

    def list_spans(self) -> list[WrittenSpan]:
        return [_build_span("memory", describe_span(span)) for span in self._kept.get_finished_spans()]


def is_connected(spans: Iterable[WrittenSpan]) -> bool:
    """Whether every span can be reached from every other one by parents and by links to traces."""
    spans = list(spans)
    groups = [{span.span_id, span.parent_id, *span.links} - {""} | {span.trace_id} for span in spans]
    reached = groups.pop(0)
    while touching := [group for group in groups if group & reached]:
        reached = reached.union(*touching)
        groups = [group for group in groups if group not in touching]
    return not groups


def find_orphans(spans: Iterable[WrittenSpan]) -> list[WrittenSpan]:
    """Spans whose parent is none of them."""
    spans = list(spans)
    known = {span.span_id for span in spans}
    return [span for span in spans if span.parent_id and span.parent_id not in known]


def write_line(path: Path, line: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(line + "\n")
