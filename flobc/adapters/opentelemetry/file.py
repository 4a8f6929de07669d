"""Spans in a file, one JSON object a line, for machines without a collector."""

from __future__ import annotations

import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

MAX_FILE_BYTES = 64 * 1024 * 1024
"""A file that has grown so long is set aside as ``NAME.old`` in place of the one before."""

logger = logging.getLogger(__name__)


class SpanFile(SpanExporter):
    """Appends spans to a file; several processes must not share one.

    **Raises** nothing: traces are not worth a service, so what cannot be written is said in the log and left out.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        self._path = path
        self._max_bytes = max_bytes

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """Write spans."""
        lines = "".join(json.dumps(describe_span(span)) + "\n" for span in spans)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size > self._max_bytes:
                self._path.replace(self._path.with_name(f"{self._path.name}.old"))
            with self._path.open("a", encoding="utf-8") as file:
                file.write(lines)
        except OSError as error:
            logger.warning("%d spans cannot be written to %s: %s", len(spans), self._path, error)
            return SpanExportResult.FAILURE
        return SpanExportResult.SUCCESS


def describe_span(span: ReadableSpan) -> dict[str, Any]:
    """Return a span as it stands in the file; times are nanoseconds since 1970."""
    context, parent = span.get_span_context(), span.parent
    return {
        "name": span.name,
        "trace_id": f"{context.trace_id:032x}" if context else "",
        "span_id": f"{context.span_id:016x}" if context else "",
        "parent_id": f"{parent.span_id:016x}" if parent else "",
        "start_ns": span.start_time,
        "end_ns": span.end_time,
        "service": span.resource.attributes.get("service.name", ""),
        "node": span.resource.attributes.get("service.instance.id", ""),
        "attributes": dict(span.attributes or {}),
        "links": [
            {"trace_id": f"{link.context.trace_id:032x}", "span_id": f"{link.context.span_id:016x}"}
            for link in span.links
        ],
    }
