"""Where spans go: to a collector, to a file, or nowhere while their ids still go into logs and headers."""

from __future__ import annotations

import os
from pathlib import Path

from opentelemetry.sdk.resources import OTELResourceDetector, Resource
from opentelemetry.sdk.trace import SpanLimits, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter

from flobc.adapters.opentelemetry.file import SpanFile
from flobc.adapters.opentelemetry.tracer import SdkTracer
from flobc.errors import UsageError
from flobc.ports.tracing import MAX_TRACES

FILE_DELAY_MS = 500
"""How long spans gather before they are written: who looks at them waits no longer, and no span waits for the disk."""
_ENDPOINTS = ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")


def open_tracer(service: str, node: str, file: Path | None = None) -> SdkTracer:
    """Return the tracer of a service. **Raises** UsageError when spans cannot go where they are asked to go.

    The library reads its standard variables by itself: OTEL_TRACES_SAMPLER, OTEL_EXPORTER_OTLP_... and their like;
    here it is only found out whether there is a collector. ``service`` and ``node`` are what OTEL_SERVICE_NAME and
    OTEL_RESOURCE_ATTRIBUTES do not say otherwise.
    """
    named = Resource({"service.name": service, "service.instance.id": node})
    try:
        provider = TracerProvider(
            resource=named.merge(OTELResourceDetector().detect()),
            shutdown_on_exit=False,
            span_limits=SpanLimits(max_links=MAX_TRACES),
        )
    except ValueError as error:
        raise UsageError(
            f"OTEL_TRACES_SAMPLER or OTEL_TRACES_SAMPLER_ARG is wrong ({error}); mend or unset it."
        ) from error
    collector = next((name for name in _ENDPOINTS if os.environ.get(name)), None)
    if collector is not None:
        provider.add_span_processor(BatchSpanProcessor(_build_exporter(collector)))
    if file is not None:
        provider.add_span_processor(BatchSpanProcessor(SpanFile(file), schedule_delay_millis=FILE_DELAY_MS))
    return SdkTracer(provider)


def _build_exporter(variable: str) -> SpanExporter:
    protocol = next((os.environ[name] for name in _PROTOCOLS if os.environ.get(name)), "grpc")
    if protocol != "grpc":
        raise UsageError(f"Spans are sent over gRPC alone, not {protocol!r}; give {variable} a collector's gRPC port.")
    try:
        from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter  # noqa: PLC0415 - an extra
    except ImportError as error:
        raise UsageError(
            f"{variable} is set, but opentelemetry-exporter-otlp-proto-grpc is missing; install flobc[tracing], "
            "or unset the variable."
        ) from error
    return OTLPSpanExporter()
