"""Asking a server whether it is ready."""

from __future__ import annotations

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from flobc.adapters.grpc.connections import open_channel
from flobc.adapters.grpc.tls import TlsSettings

ANSWER_S = 2.0


def is_serving(address: str, tls: TlsSettings | None = None) -> bool:
    """Return whether the server at ``host:port`` answers and says that it serves. **Raises** UsageError."""
    with open_channel(address, tls) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=ANSWER_S)
        except grpc.RpcError:
            return False
    return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)
