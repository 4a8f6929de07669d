"""``flobc trace``: what became of one update, from its training to the block that records it."""

from __future__ import annotations

from argparse import Namespace

from flobc.cli.output import print_json, print_table
from flobc.cli.places import expand_path
from flobc.composition.local.traces import WrittenSpan, arrange, find_update, read_spans, select_update

TITLES = ("service", "span", "began ms", "took ms", "what")
_SHOWN = ("height", "score", "fault", "batch", "size_bytes", "error")


def execute(arguments: Namespace) -> int:
    """Print an update's spans, and those of the blocks that took it in, each below its parent."""
    spans = read_spans(expand_path(arguments.dir))
    update = find_update(spans, arguments.update)
    found = list(arrange(select_update(spans, update)))
    start_ns = min(span.start_ns for _, span in found)
    if arguments.json:
        for depth, span in found:
            print_json(describe_span(depth, span, start_ns))
        return 0
    print(f"update {update}")
    print_table(TITLES, (build_row(depth, span, start_ns) for depth, span in found))
    return 0


def describe_span(depth: int, span: WrittenSpan, start_ns: int) -> dict[str, object]:
    """Return a span as JSON data; times are milliseconds since the first one began."""
    return {
        "service": span.node,
        "name": span.name,
        "depth": depth,
        "start_ms": (span.start_ns - start_ns) / 1e6,
        "duration_ms": (span.end_ns - span.start_ns) / 1e6,
        "trace_id": span.trace_id,
        "span_id": span.span_id,
        "parent_id": span.parent_id,
        "links": sorted(span.links),
        "attributes": span.attributes,
    }


def build_row(depth: int, span: WrittenSpan, start_ns: int) -> tuple[str, ...]:
    """Return a span's cells."""
    what = ", ".join(f"{name} {span.attributes[name]}" for name in _SHOWN if name in span.attributes)
    began, took = (span.start_ns - start_ns) / 1e6, (span.end_ns - span.start_ns) / 1e6
    return span.node, "  " * depth + span.name, f"{began:.1f}", f"{took:.1f}", what
