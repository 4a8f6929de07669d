"""Traces by OpenTelemetry: spans in its SDK, and where they go."""

from flobc.adapters.opentelemetry.export import open_tracer
from flobc.adapters.opentelemetry.tracer import SdkTracer

__all__ = ["SdkTracer", "open_tracer"]
