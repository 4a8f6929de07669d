"""The one connection to Redis: keys under the chain's prefix, errors in our own words, the server's settings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from flobc.adapters.redis.handshake import find_tls_refusal
from flobc.adapters.redis.settings import RedisSettings
from flobc.errors import FlobcError, TransientError, UsageError
from flobc.ports.metrics import SILENCE, Meter

RETRY_DELAY_S = 1.0
_READ_SIZE_BYTES = 1 << 18
_SCANNED_KEYS = 1_000
_OLDEST_VERSION = (6, 2)


class RedisClient:
    """A pool of connections, opened when first used; may be called from any thread.

    All methods **raise** TransientError, naming the address, while the server cannot be reached or cannot
    take what is sent, and UsageError when it refuses the login.
    """

    def __init__(self, settings: RedisSettings, meter: Meter = SILENCE) -> None:
        self._meter = meter
        self._settings = settings
        self.address = settings.address
        self.prefix = settings.prefix
        self._user = settings.user or "default"
        self._redis: Any = redis.Redis(  # its own annotations leave half of what is used here untyped
            host=settings.host,
            port=settings.port,
            db=settings.database,
            username=settings.user,
            password=settings.password,
            ssl=settings.tls,
            ssl_ca_certs=_text(settings.tls_ca),
            ssl_certfile=_text(settings.tls_certificate),
            ssl_keyfile=_text(settings.tls_key),
            socket_connect_timeout=settings.connect_timeout_s,
            socket_timeout=settings.timeout_s,
            socket_read_size=_READ_SIZE_BYTES,
            # A compare-and-set that is sent again behind our back would report that somebody else was first.
            retry=Retry(NoBackoff(), 0),
            protocol=2,
        )

    def key(self, *parts: object) -> str:
        """Return a key under the chain's prefix."""
        return ":".join([self.prefix, *map(str, parts)])

    def call(self, *command: Any) -> Any:
        """Send one command and return its answer."""
        with self._answering(str(command[0])):
            return self._redis.execute_command(*command)

    def write_together(self, commands: Sequence[Sequence[Any]]) -> None:
        """Send commands that take effect all at once or not at all (MULTI); a full server refuses even reads so."""
        with self._answering("MULTI"), self._redis.pipeline(transaction=True) as pipeline:
            for command in commands:
                pipeline.execute_command(*command)
            pipeline.execute()

    def prepare(self, script: str) -> Callable[[Sequence[str], Sequence[Any]], Any]:
        """Return a function that runs a Lua script atomically with keys and arguments."""
        prepared = self._redis.register_script(script)

        def run(keys: Sequence[str], arguments: Sequence[Any]) -> Any:
            with self._answering("EVALSHA"):
                return prepared(keys=list(keys), args=list(arguments))

        return run

    def get_info(self) -> dict[str, Any]:
        """Return what the server says about itself (INFO)."""
        with self._answering("INFO"):
            return dict(self._redis.info())

    def forget_all(self) -> int:
        """Forget every key under the prefix and return how many there were."""
        count, cursor = 0, "0"
        while True:
            cursor, keys = self.call("SCAN", cursor, "MATCH", self.key("*"), "COUNT", _SCANNED_KEYS)
            if keys:
                self.call("UNLINK", *keys)
                count += len(keys)
            if int(cursor) == 0:
                return count

    def close(self) -> None:
        """Let go of all connections."""
        self._redis.close()

    @contextmanager
    def _answering(self, command: str) -> Iterator[None]:
        """Measure a command, and turn the library's errors into ours."""
        start_s = time.monotonic()
        try:
            with self._translating():
                yield
        except FlobcError:
            self._meter.add("flobc_redis_errors_total")
            raise
        self._meter.observe("flobc_redis_command_seconds", time.monotonic() - start_s, command=command.lower())

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except (redis.AuthenticationError, redis.exceptions.NoPermissionError) as error:
            raise UsageError(
                f"Redis at {self.address} refuses the user {self._user} ({error}); check its password and permissions."
            ) from error
        except redis.RedisError as error:
            refusal = find_tls_refusal(error, self._settings)
            if refusal is not None:
                raise UsageError(
                    f"No TLS connection to Redis at {self.address} ({refusal}); correct CA, certificate and key."
                ) from error
            raise TransientError(
                f"Redis at {self.address} cannot be used now ({error}); check that it runs and has room.", RETRY_DELAY_S
            ) from error


def connect(settings: RedisSettings, meter: Meter = SILENCE) -> RedisClient:
    """Return a client of the server; nothing is sent before it is used."""
    return RedisClient(settings, meter)


def check_server(client: RedisClient) -> None:
    """Check that the server keeps what it is given: AOF on, nothing ever evicted, version 6.2 or newer.

    **Raises** UsageError that names setting, value and the command that mends it; TransientError.
    """
    info = client.get_info()
    version = str(info.get("redis_version", "0.0"))
    if _parse_version(version) < _OLDEST_VERSION:
        raise UsageError(f"Redis at {client.address} has version {version}, and 6.2 or newer is needed; upgrade it.")
    aof = "yes" if str(info.get("aof_enabled")) == "1" else "no"
    for setting, expected, found, why in (
        ("appendonly", "yes", aof, "a crash would lose certified blocks"),
        (
            "maxmemory-policy",
            "noeviction",
            str(info.get("maxmemory_policy")),
            "the server would drop parts of blocks and models when memory runs short",
        ),
    ):
        if found != expected:
            host, _, port = client.address.rpartition(":")
            raise UsageError(
                f"Redis at {client.address} has {setting} {found} where {expected} is needed, because {why}; mend it "
                f"with: redis-cli -h {host.strip('[]')} -p {port} CONFIG SET {setting} {expected}"
            )


def _parse_version(text: str) -> tuple[int, ...]:
    return tuple(int(part) for part in text.split(".")[:2] if part.isdecimal())


def _text(path: object) -> str | None:
    return None if path is None else str(path)
