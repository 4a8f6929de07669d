"""A real Redis with TLS and the very users of docs/security/redis.acl."""

from __future__ import annotations

import secrets
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from flobc.adapters.grpc import TlsSettings
from flobc.adapters.redis import RedisClient, RedisSettings, connect
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.process import DetachedProcess
from flobc.errors import FlobcError, UsageError
from tests.support.certificates import build_tls

RULES = Path(__file__).resolve().parents[2] / "docs" / "security" / "redis.acl"
_START_S = 30.0


@dataclass(frozen=True)
class SecureRedis:
    """A server that wants a certificate of its authority and a password of one of its users."""

    port: int
    process: DetachedProcess
    passwords: dict[str, str]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def build_settings(self, user: str, password: str, tls: TlsSettings | None, ca: Path) -> RedisSettings:
        return RedisSettings.from_url(
            f"rediss://{user}:{password}@{self.address}",
            "flobc:test",
            tls_ca=ca,
            tls_certificate=None if tls is None else tls.certificate,
            tls_key=None if tls is None else tls.key,
        )

    def connect(self, user: str, tls: TlsSettings) -> RedisClient:
        """A connection of one of the users."""
        return connect(self.build_settings(user, self.passwords[user], tls, tls.ca))


def start_secure_redis(directory: Path, ca: Path) -> SecureRedis:
    """Start a server; skips where there is none, or none that knows TLS."""
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None:
        pytest.skip("There is no redis-server or valkey-server on the PATH.")
    directory.mkdir()
    passwords = {user: secrets.token_hex(8) for user in ("admin", "ledger", "operator")}
    rules = RULES.read_text()
    for user, password in passwords.items():
        rules = rules.replace(f">{user.upper()}_PASSWORD", f">{password}")
    assert "_PASSWORD" not in rules
    (directory / "users.acl").write_text(rules)
    tls, port = build_tls(ca, "redis"), find_free_port()
    server = SecureRedis(port, DetachedProcess("Redis", directory / "pid", directory / "log"), passwords)
    server.process.start(
        [
            *(program, "--bind", "127.0.0.1", "--port", "0", "--tls-port", str(port), "--tls-auth-clients", "yes"),
            *("--tls-cert-file", str(tls.certificate), "--tls-key-file", str(tls.key), "--tls-ca-cert-file", str(ca)),
            *("--aclfile", str(directory / "users.acl"), "--dir", str(directory), "--appendonly", "yes", "--save", ""),
        ]
    )
    admin = server.connect("admin", build_tls(ca, "redis-admin"))

    def is_ready() -> bool:
        try:
            return bool(admin.get_info().get("loading") == 0)
        except FlobcError as error:
            if isinstance(error, UsageError):
                raise
            return False

    try:
        server.process.wait_until(is_ready, _START_S)
    except FlobcError as error:
        if "tls-port" in str(error):
            pytest.skip(f"this redis-server was built without TLS: {error}")
        raise
    finally:
        admin.close()
    return server
