"""A Redis server of one's own: found on this machine, started in a directory, kept on 127.0.0.1."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from flobc.adapters.redis import RedisClient, RedisSettings, connect
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.process import DetachedProcess, require_free_port
from flobc.errors import FlobcError, TransientError, UsageError

ADDRESS_VARIABLE = "FLOBC_TEST_REDIS"
"""Names a server that runs already, ``host:port`` or a URL; then none is started."""
DOCKER_IMAGE = "redis"
_HOST = "127.0.0.1"
_START_TIMEOUT_S = 30.0
_STOP_TIMEOUT_S = 10.0
_DOCKER_TIMEOUT_S = 10.0
_PORT_TIMEOUT_S = 5.0
_OPTIONS = ("--appendonly", "yes", "--appendfsync", "everysec", "--maxmemory-policy", "noeviction", "--save", "")
"""The log alone is what survives (a snapshot beside it would only write everything twice)."""
_MISSING = (
    "There is no Redis here: no redis-server or valkey-server on the PATH and no Docker with the image redis; "
    f"install one (Debian, Ubuntu: sudo apt install redis-server) or set {ADDRESS_VARIABLE} to a server's address."
)


@dataclass(frozen=True)
class LocalRedis:
    """A running server; ``address`` is host:port or a URL. One that was found running is left alone by ``stop``."""

    address: str
    process: DetachedProcess | None = None
    container: str | None = None

    @property
    def pid(self) -> int | None:
        """The number of the server's process, or None when it does not run or is not ours."""
        return None if self.process is None else self.process.pid

    def stop(self) -> None:
        """Have the server write what it holds and end."""
        if self.process is not None:
            self.process.stop(_STOP_TIMEOUT_S)

    def kill(self) -> None:
        """End the server at once, as a crash would. **Raises** UsageError when it is not ours."""
        if self.process is None:
            raise UsageError(f"The Redis at {ADDRESS_VARIABLE} was not started here, so it is not killed.")
        if self.container is not None:
            _run_docker("kill", self.container)
        self.process.kill()


def start_redis(directory: Path, port: int | None = None) -> LocalRedis:
    """Start a server with its data in ``directory`` and return when it answers; what was there is there again.

    Taken is, in this order: the server that FLOBC_TEST_REDIS names, ``redis-server`` or ``valkey-server`` on the
    PATH, Docker with the image ``redis``.

    **Raises** UsageError when there is none or one runs in the directory already, FlobcError with the end of
    its log when it does not start.
    """
    address = os.environ.get(ADDRESS_VARIABLE)
    if address:
        return LocalRedis(address)
    program = shutil.which("redis-server") or shutil.which("valkey-server")
    if program is None and not has_docker_image():
        raise UsageError(_MISSING)
    directory = directory.absolute()
    directory.mkdir(parents=True, exist_ok=True)
    port = port or find_free_port(_HOST)
    container = f"flobc-redis-{port}" if program is None else None
    process = DetachedProcess("Redis", directory / "pid", directory / "redis.log")
    server = LocalRedis(f"{_HOST}:{port}", process, container)
    if process.pid is None:
        require_free_port("Redis", _HOST, port, _PORT_TIMEOUT_S)
    process.start(
        _build_docker_command(directory, port) if program is None else _build_command(program, directory, port)
    )
    client = connect(RedisSettings.from_url(server.address, "flobc", connect_timeout_s=1, timeout_s=5))
    try:
        process.wait_until(lambda: _is_ready(client, server), _START_TIMEOUT_S)
    except FlobcError:
        if container is not None:
            _run_docker("kill", container)
        raise
    finally:
        client.close()
    return server


def has_docker_image() -> bool:
    """Return whether Docker runs here and has the image; nothing is fetched."""
    return shutil.which("docker") is not None and _run_docker("image", "inspect", DOCKER_IMAGE)


def _build_command(program: str, directory: Path, port: int) -> list[str]:
    return [program, "--bind", _HOST, "--port", str(port), "--dir", str(directory), *_OPTIONS]


def _build_docker_command(directory: Path, port: int) -> list[str]:
    # as the person who asks, or the data would belong to somebody else
    return [
        *("docker", "run", "--rm", "--pull", "never", "--name", f"flobc-redis-{port}"),
        *("--user", f"{os.getuid()}:{os.getgid()}", "--publish", f"{_HOST}:{port}:6379"),
        *("--volume", f"{directory}:/data", DOCKER_IMAGE, "redis-server", *_OPTIONS),
    ]


def _run_docker(*arguments: str) -> bool:
    """Return whether a docker command succeeded in time."""
    command: Sequence[str] = ("docker", *arguments)
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=_DOCKER_TIMEOUT_S)
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _is_ready(client: RedisClient, server: LocalRedis) -> bool:
    """Return whether our own server answers and has read its log: another one may have taken the port meanwhile."""
    try:
        info = client.get_info()
    except TransientError:
        return False
    return info.get("loading") == 0 and (server.container is not None or info.get("process_id") == server.pid)
