"""Where the Redis server is and how to reach it."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import unquote, urlsplit

from flobc.errors import UsageError

DEFAULT_PORT = 6379
_SCHEMES = ("redis", "rediss")


@dataclass(frozen=True)
class RedisSettings:
    """One server and this chain's place in it; the password shows in no representation.

    ``prefix`` stands before every key: the chain's id, so that chains may share a server. ``tls_ca`` names the
    file of trusted authorities (the system's when None), ``tls_certificate`` and ``tls_key`` the client's own.
    **Units**: seconds; ``timeout_s`` is the longest silence within one command.
    """

    prefix: str
    host: str = "127.0.0.1"
    port: int = DEFAULT_PORT
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    database: int = 0
    tls: bool = False
    tls_ca: Path | None = None
    tls_certificate: Path | None = None
    tls_key: Path | None = None
    connect_timeout_s: float = 2.0
    timeout_s: float = 5.0

    def __post_init__(self) -> None:
        if not self.prefix:
            raise UsageError("The Redis key prefix is empty, so chains would overwrite one another; use the chain id.")
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise UsageError("A TLS client certificate for Redis needs its key and the other way round; give both.")
        for path in (self.tls_ca, self.tls_certificate, self.tls_key):
            if path is not None and not path.is_file():
                raise UsageError(f"There is no TLS file {path} for Redis; check the path.")

    @property
    def address(self) -> str:
        """Host and port, for messages."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def from_url(
        cls,
        url: str,
        prefix: str,
        *,
        tls_ca: Path | None = None,
        tls_certificate: Path | None = None,
        tls_key: Path | None = None,
        connect_timeout_s: float = 2.0,
        timeout_s: float = 5.0,
    ) -> RedisSettings:
        """Return the settings of ``redis[s]://[user:password@]host[:port][/database]`` or plain ``host[:port]``.

        **Raises** UsageError, without the URL because a password may be in it.
        """
        try:
            parts = urlsplit(url if "://" in url else f"redis://{url}")
            port, database = parts.port, parts.path.strip("/") or "0"
            usable = parts.scheme in _SCHEMES and bool(parts.hostname) and database.isdecimal() and not parts.query
        except ValueError:
            usable = False
        if not usable:
            raise UsageError(
                "The address of Redis is not of the form redis[s]://[user:password@]host[:port][/database]; mend it."
            )
        return cls(
            prefix=prefix,
            host=parts.hostname or "",
            port=port or DEFAULT_PORT,
            user=_unquote(parts.username),
            password=_unquote(parts.password),
            database=int(database),
            tls=parts.scheme == "rediss",
            tls_ca=tls_ca,
            tls_certificate=tls_certificate,
            tls_key=tls_key,
            connect_timeout_s=connect_timeout_s,
            timeout_s=timeout_s,
        )


def _unquote(text: str | None) -> str | None:
    return unquote(text) if text else None
