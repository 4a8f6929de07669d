"""A Redis server that is killed, wiped, away, stopped or set up wrongly, and the one that is started here."""

from __future__ import annotations

import os
import shlex
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from flobc.adapters.redis import RedisBlocks, RedisClient, RedisModels, RedisSettings, check_server, connect
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.redis import ADDRESS_VARIABLE, LocalRedis, start_redis
from flobc.errors import FlobcError, TransientError, UsageError
from tests.contract.conftest import CHUNK_SIZE, GENESIS_HEAD, name_model
from tests.contract.test_block_store import build_chain
from tests.contract.test_model_store import build_model
from tests.support.freezing import frozen
from tests.support.redis_server import read_or_skip

pytestmark = pytest.mark.integration


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[LocalRedis]:
    """A server of the test's own, to do harm to."""
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    started = read_or_skip(lambda: start_redis(tmp_path / "redis"))
    yield started
    if started.pid is not None:
        os.kill(started.pid, signal.SIGCONT)
    started.stop()


@pytest.fixture
def client(server: LocalRedis) -> Iterator[RedisClient]:
    opened = connect(RedisSettings.from_url(server.address, "chain", connect_timeout_s=0.5, timeout_s=0.5))
    yield opened
    opened.close()


def wait_until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    until_s = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.01)


def get_port(server: LocalRedis) -> int:
    return int(server.address.rpartition(":")[2])


def is_written(client: RedisClient) -> bool:
    """Whether all that was acknowledged has left the server for its log on disk."""
    info = client.get_info()
    return info["aof_buffer_length"] == 0 and info["aof_pending_bio_fsync"] == 0


def test_a_killed_server_comes_back_with_its_head(tmp_path: Path, server: LocalRedis, client: RedisClient) -> None:
    blocks, model = build_chain(3), build_model(1, 5 * CHUNK_SIZE)
    for block in blocks[:2]:
        RedisBlocks(client, GENESIS_HEAD).append(block)
    RedisModels(client, CHUNK_SIZE).put(name_model(model), model)
    wait_until(lambda: is_written(client))
    server.kill()
    assert server.pid is None
    again = start_redis(tmp_path / "redis", get_port(server))
    assert again.address == server.address
    store = RedisBlocks(client, GENESIS_HEAD)
    assert store.height == 2
    assert [store.get(height) for height in (1, 2)] == blocks[:2]
    assert store.append(blocks[2])
    assert RedisModels(client, CHUNK_SIZE).get(name_model(model)) is not None


def test_a_wiped_server_is_an_empty_store(client: RedisClient) -> None:
    """The same open store starts again from the genesis; nothing of the old chain is remembered."""
    blocks, model = build_chain(2), build_model(1)
    store, models = RedisBlocks(client, GENESIS_HEAD), RedisModels(client, CHUNK_SIZE)
    for block in blocks:
        store.append(block)
    models.put(name_model(model), model)
    client.call("FLUSHALL")
    assert store.height == 0
    assert store.get(1) is None
    assert models.get(name_model(model)) is None
    assert [store.append(block) for block in (blocks[1], *blocks)] == [False, True, True]
    assert store.get(2) == blocks[1]


def test_a_server_that_is_away_is_a_matter_of_time(tmp_path: Path, server: LocalRedis, client: RedisClient) -> None:
    blocks, store = build_chain(2), RedisBlocks(client, GENESIS_HEAD)
    assert store.append(blocks[0])
    wait_until(lambda: is_written(client))
    server.kill()
    started_s = time.monotonic()
    for use in (lambda: store.append(blocks[1]), lambda: store.get(1), lambda: store.height):
        with pytest.raises(TransientError, match=server.address) as caught:
            use()
        assert caught.value.delay_s > 0
    assert time.monotonic() - started_s < 5
    start_redis(tmp_path / "redis", get_port(server))
    assert store.append(blocks[1])
    assert store.height == 2


def test_a_server_that_hangs_is_given_up_in_time(server: LocalRedis, client: RedisClient) -> None:
    store = RedisBlocks(client, GENESIS_HEAD)
    assert store.height == 0
    assert server.pid is not None
    with frozen(server.pid):
        started_s = time.monotonic()
        with pytest.raises(TransientError, match=server.address):
            store.append(build_chain(1)[0])
        assert time.monotonic() - started_s < 5
    assert store.append(build_chain(1)[0])


def test_a_full_server_is_a_matter_of_time(server: LocalRedis, client: RedisClient) -> None:
    """Without eviction a write fails whole, and what was there stays."""
    store, models = RedisBlocks(client, GENESIS_HEAD), RedisModels(client, CHUNK_SIZE)
    assert store.append(build_chain(1)[0])
    old, model = build_model(0), build_model(1)
    models.put(name_model(old), old)
    client.call("CONFIG", "SET", "maxmemory", "1")
    with pytest.raises(TransientError, match="room"):
        models.put(name_model(model), model)
    assert models.get(name_model(model)) is None
    assert store.get(1) is not None
    assert models.get(name_model(old)) is not None
    models.keep_only(frozenset())  # makes room, so it must work where there is none
    assert models.get(name_model(old)) is None
    client.call("CONFIG", "SET", "maxmemory", "0")
    models.put(name_model(model), model)
    assert models.get(name_model(model)) is not None


@pytest.mark.parametrize(("setting", "wrong"), [("appendonly", "no"), ("maxmemory-policy", "allkeys-lru")])
def test_a_server_with_wrong_settings_is_refused_with_the_cure(
    server: LocalRedis, client: RedisClient, setting: str, wrong: str
) -> None:
    check_server(client)
    client.call("CONFIG", "SET", setting, wrong)
    with pytest.raises(UsageError, match=f"{setting} {wrong}") as caught:
        check_server(client)
    program, *command = shlex.split(str(caught.value).partition("mend it with: ")[2])
    assert [program, *command[:4]] == ["redis-cli", "-h", "127.0.0.1", "-p", str(get_port(server))]
    client.call(*command[4:])
    check_server(client)
    wait_until(lambda: client.get_info()["aof_rewrite_in_progress"] == 0)  # before that it does not end when asked to


def test_a_refused_login_names_no_password(server: LocalRedis, client: RedisClient) -> None:
    client.call("CONFIG", "SET", "requirepass", "right")
    for password in ("", ":wrong@"):
        with pytest.raises(UsageError, match=f"{server.address} refuses the user default") as caught:
            check_server(connect(RedisSettings.from_url(f"redis://{password}{server.address}", "chain")))
        assert "wrong@" not in str(caught.value)
    check_server(connect(RedisSettings.from_url(f"redis://:right@{server.address}", "chain")))


def test_one_server_per_directory(tmp_path: Path, server: LocalRedis) -> None:
    with pytest.raises(UsageError, match="runs already"):
        start_redis(tmp_path / "redis")


def test_a_taken_port_is_told_before_a_server_is_started(tmp_path: Path, server: LocalRedis) -> None:
    """Another server that answers there is not taken for ours."""
    with pytest.raises(FlobcError, match="another program does already; stop that one or choose another port"):
        start_redis(tmp_path / "second", get_port(server))


def test_a_stopped_server_can_be_started_again(tmp_path: Path, server: LocalRedis, client: RedisClient) -> None:
    store = RedisBlocks(client, GENESIS_HEAD)
    assert store.append(build_chain(1)[0])
    server.stop()
    assert server.pid is None
    start_redis(tmp_path / "redis", get_port(server))
    assert store.height == 1


def test_a_machine_without_redis_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(ADDRESS_VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="sudo apt install redis-server") as caught:
        start_redis(tmp_path / "redis")
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "redis").exists()


def test_a_server_that_was_found_running_is_left_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"127.0.0.1:{find_free_port()}"
    monkeypatch.setenv(ADDRESS_VARIABLE, address)
    found = start_redis(tmp_path / "redis")
    assert (found.address, found.pid) == (address, None)
    found.stop()
    with pytest.raises(UsageError, match=ADDRESS_VARIABLE):
        found.kill()
