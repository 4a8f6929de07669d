"""Ledgers and validators over gRPC: servers on the stores' ports, clients behind the peers' ports."""

from flobc.adapters.grpc.clients import BlobClient, LedgerClient
from flobc.adapters.grpc.connections import Patience
from flobc.adapters.grpc.health import is_serving
from flobc.adapters.grpc.servers import BlobServer, LedgerServer
from flobc.adapters.grpc.tls import TlsSettings

__all__ = ["BlobClient", "BlobServer", "LedgerClient", "LedgerServer", "Patience", "TlsSettings", "is_serving"]
