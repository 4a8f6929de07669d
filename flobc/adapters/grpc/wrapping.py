"""Doing something around every call of one service."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import grpc

Answer = Callable[[Any, Any], Awaitable[Any]]
"""What answers a request in its context."""


def wrap_handler(
    handler: Any, details: grpc.HandlerCallDetails, service: str, wrap: Callable[[str, Answer], Answer]
) -> Any:
    """Return a method's handler with its answer wrapped; as it is where it is another service's, or no method.

    ``wrap`` is told the method as ``Ledger/GetHead``. Health checks and reflection are services of their own.
    """
    found, _, method = details.method.strip("/").partition("/")
    if handler is None or found != service:
        return handler
    name = f"{service.rpartition('.')[2]}/{method}"
    if handler.response_streaming:
        return handler._replace(unary_stream=wrap(name, handler.unary_stream))
    return handler._replace(unary_unary=wrap(name, handler.unary_unary))
