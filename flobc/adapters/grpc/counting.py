"""Counting calls: how many of each method, how they ended and how long they took."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any

import grpc

from flobc.adapters.grpc.wrapping import Answer, wrap_handler
from flobc.ports.metrics import Meter


class CountingInterceptor(grpc.aio.ServerInterceptor):  # type: ignore[misc]  # the library has no types
    """Measures every call of one service; health checks and reflection are left out, for nobody waits for them."""

    def __init__(self, meter: Meter, service: str) -> None:
        self._meter = meter
        self._service = service

    async def intercept_service(
        self, continuation: Callable[[Any], Awaitable[Any]], handler_call_details: grpc.HandlerCallDetails
    ) -> Any:
        """Return the method's handler, measured."""
        return wrap_handler(
            await continuation(handler_call_details), handler_call_details, self._service, self._measure
        )

    def _measure(self, name: str, answer: Answer) -> Answer:
        async def measured(request: Any, context: grpc.aio.ServicerContext) -> Any:
            start_s = time.monotonic()
            self._meter.add("flobc_grpc_requests_open", method=name)
            code = "CANCELLED"  # what ends a call whose client went away, and no status says so
            try:
                found = await answer(request, context)
                code = "OK"
                return found
            except grpc.aio.AbortError:
                code = _read_code(context)
                raise
            except Exception:
                code = "UNKNOWN"
                raise
            finally:
                self._meter.add("flobc_grpc_requests_open", -1, method=name)
                self._meter.add("flobc_grpc_requests_total", method=name, code=code)
                self._meter.observe("flobc_grpc_request_seconds", time.monotonic() - start_s, method=name)

        return measured


def _read_code(context: grpc.aio.ServicerContext) -> str:
    """Return the name of the status that a call was ended with; the library keeps its number."""
    found = context.code()
    return next((code.name for code in grpc.StatusCode if found in (code, code.value[0])), "UNKNOWN")
