"""A real Redis for tests: one server for all workers of a test run, and a key prefix of its own for each test."""

from __future__ import annotations

import fcntl
import json
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from flobc.adapters.redis import RedisClient, RedisSettings, check_server, connect
from flobc.composition.local.process import DetachedProcess
from flobc.composition.local.redis import LocalRedis, start_redis
from flobc.errors import UsageError


def read_or_skip(start: Callable[[], LocalRedis]) -> LocalRedis:
    """The server that ``start`` starts; where there is none to be had the test is skipped."""
    try:
        return start()
    except UsageError as error:
        if not str(error).startswith("There is no Redis here"):
            raise
        pytest.skip(str(error))


@contextmanager
def _locked_users(directory: Path) -> Iterator[dict[str, Any]]:
    """Who uses the shared server: read, changed and written back by one worker at a time."""
    directory.mkdir(exist_ok=True)
    with (directory / "users.json").open("a+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        users = json.loads(file.read() or '{"count": 0, "address": null}')
        yield users
        file.seek(0)
        file.truncate()
        json.dump(users, file)


@pytest.fixture(scope="session")
def redis_address(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[str]:
    """The address of a server that all workers share; the last one stops it."""
    base = tmp_path_factory.getbasetemp()
    directory = (base.parent if hasattr(request.config, "workerinput") else base) / "redis"
    with _locked_users(directory) as users:
        if users["count"] == 0:
            users["address"] = read_or_skip(lambda: start_redis(directory)).address
        users["count"] += 1
        address = users["address"]
    yield address
    with _locked_users(directory) as users:
        users["count"] -= 1
        if users["count"] == 0:
            DetachedProcess("Redis", directory / "pid", directory / "redis.log").stop(10)


@pytest.fixture
def redis_client(redis_address: str) -> Iterator[RedisClient]:
    """A client whose keys are this test's alone, and gone after it."""
    client = connect(RedisSettings.from_url(redis_address, f"test-{uuid.uuid4().hex}"))
    check_server(client)
    yield client
    if keys := list_keys(client):
        client.call("UNLINK", *keys)
    client.close()


def list_keys(client: RedisClient) -> list[str]:
    """Every key of the client's chain, in order."""
    return sorted(key.decode() for key in client.call("KEYS", f"{client.prefix}:*"))
