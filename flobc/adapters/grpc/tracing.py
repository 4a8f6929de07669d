"""Which trace a call belongs to: W3C ``traceparent`` in its metadata."""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from flobc.adapters.grpc.wrapping import Answer, wrap_handler
from flobc.ports.tracing import Tracer, get_current_trace, read_traceparent, within

KEY = "traceparent"


class _Details(
    namedtuple("_Details", ("method", "timeout", "metadata", "credentials", "wait_for_ready", "compression")),
    grpc.ClientCallDetails,  # type: ignore[misc]  # the library has no types
):
    """A call's details, which the library shows and does not let change."""


class TellingInterceptor(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):  # type: ignore[misc]
    """Tells a server where the work belongs for which it is asked; calls that belong nowhere say nothing."""

    def intercept_unary_unary(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Go on with the call."""
        return continuation(_tell(details), request)

    def intercept_unary_stream(self, continuation: Callable[..., Any], details: Any, request: Any) -> Any:
        """Go on with the call."""
        return continuation(_tell(details), request)


def _tell(details: Any) -> Any:
    trace = get_current_trace()
    if not trace:
        return details
    metadata = (*(details.metadata or ()), (KEY, trace))
    return _Details(
        details.method, details.timeout, metadata, details.credentials, details.wait_for_ready, details.compression
    )


class TracingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]
    """Makes a span of every call of one service that says where it belongs; the others are nobody's question."""

    def __init__(self, tracer: Tracer, service: str) -> None:
        self._tracer = tracer
        self._service = service

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the method's handler, traced."""
        handler = await continuation(handler_call_details)
        trace = _read(handler_call_details.invocation_metadata)
        if not trace:
            return handler
        return wrap_handler(
            handler, handler_call_details, self._service, lambda name, answer: self._trace(name, trace, answer)
        )

    def _trace(self, name: str, trace: str, answer: Answer) -> Answer:
        async def traced(request: Any, context: grpc.aio.ServicerContext) -> Any:
            span = self._tracer.start(name, trace)
            try:
                with within(span.trace):
                    return await answer(request, context)
            except BaseException as error:
                span.end(error=type(error).__name__)
                raise
            finally:
                span.end()

        return traced


def _read(metadata: Any) -> str:
    values = (value for key, value in metadata or () if key == KEY)
    value = next(values, "")
    return read_traceparent(value.encode(errors="replace") if isinstance(value, str) else value)
