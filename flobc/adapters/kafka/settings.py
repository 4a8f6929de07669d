"""Where Kafka is, who we are to it, and how long we wait for it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from flobc.errors import UsageError

RECORD_OVERHEAD_BYTES = 256
"""Room for what Kafka puts around a record: 61 bytes for its batch, at most 26 for itself, and a safe margin."""
MAX_RECORD_BYTES = 1_048_588 - RECORD_OVERHEAD_BYTES
"""The largest record, key and value, that a stock broker takes (its message.max.bytes is 1,048,588)."""


@dataclass(frozen=True)
class KafkaSettings:
    """How to reach Kafka.

    ``address`` is ``host:port``, or several with commas between them. ``request_timeout_s`` is what one answer may
    take, ``delivery_timeout_s`` (not less) what an appended record may take to be acknowledged with all its retries,
    ``append_timeout_s`` what an append may wait for room. ``max_waiting_bytes`` bounds what waits to be acknowledged.
    Passwords are left out of the printed form.
    """

    address: str
    client_id: str = "flobc"
    connect_timeout_s: float = 10
    request_timeout_s: float = 10
    delivery_timeout_s: float = 30
    append_timeout_s: float = 30
    max_waiting_bytes: int = 64_000_000
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"] = "PLAINTEXT"
    sasl_mechanism: str | None = None
    sasl_username: str | None = None
    sasl_password: str | None = field(default=None, repr=False)
    tls_ca_file: Path | None = None
    tls_certificate_file: Path | None = None
    tls_key_file: Path | None = None
    tls_key_password: str | None = field(default=None, repr=False)

    def build_options(self) -> dict[str, Any]:
        """Return the options that every kind of client takes. **Raises** UsageError when a TLS file is missing."""
        return {
            "bootstrap_servers": [address.strip() for address in self.address.split(",")],
            "client_id": self.client_id,
            "bootstrap_timeout_ms": to_ms(self.connect_timeout_s),
            "request_timeout_ms": to_ms(self.request_timeout_s),
            "reconnect_backoff_max_ms": 1000,  # stock is 30 s, for which a node would stand still after an outage
            "security_protocol": self.security_protocol,
            "sasl_mechanism": self.sasl_mechanism,
            "sasl_plain_username": self.sasl_username,
            "sasl_plain_password": self.sasl_password,
            "ssl_cafile": _require_file("CA", self.tls_ca_file),
            "ssl_certfile": _require_file("certificate", self.tls_certificate_file),
            "ssl_keyfile": _require_file("key", self.tls_key_file),
            "ssl_password": self.tls_key_password,
        }


def to_ms(duration_s: float) -> int:
    """Return a duration in the whole milliseconds that Kafka's client counts in."""
    return max(0, round(duration_s * 1000))


def _require_file(name: str, path: Path | None) -> str | None:
    if path is not None and not path.is_file():
        raise UsageError(f"The TLS {name} file {path} for Kafka is not there; correct its path.")
    return None if path is None else str(path)
