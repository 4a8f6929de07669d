"""Mutual TLS from files: both sides show a certificate of the same authority."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import grpc

from flobc.errors import UsageError


@dataclass(frozen=True)
class TlsSettings:
    """PEM files: the authority's certificate, one's own certificate, and its private key."""

    ca: Path
    certificate: Path
    key: Path


def build_server_credentials(tls: TlsSettings) -> grpc.ServerCredentials:
    """Return credentials that admit only clients of the same authority. **Raises** UsageError."""
    pair = (_read(tls.key), _read(tls.certificate))
    return grpc.ssl_server_credentials([pair], root_certificates=_read(tls.ca), require_client_auth=True)


def build_client_credentials(tls: TlsSettings) -> grpc.ChannelCredentials:
    """Return credentials that trust only servers of the same authority. **Raises** UsageError."""
    return grpc.ssl_channel_credentials(_read(tls.ca), _read(tls.key), _read(tls.certificate))


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"The TLS file {path} cannot be read ({error.strerror}); check the path.") from error
