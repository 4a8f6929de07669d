"""Redis with TLS and users: a ledger does its whole work with the sample rights, and nobody else gets anywhere."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from flobc.adapters.grpc import TlsSettings
from flobc.adapters.redis import RedisClient, RedisModels, RedisSettings, RedisStates, check_server, connect
from flobc.errors import UsageError
from flobc.learning.model_digest import compute_model_digest
from flobc.protocol.consensus.state import compute_state_digest
from tests.support.certificates import build_authority, build_tls
from tests.support.secure_redis import SecureRedis, start_secure_redis

CHUNK_SIZE = 1000


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> TlsSettings:
    return build_tls(build_authority(tmp_path_factory.mktemp("authority") / "ca"), "client")


@pytest.fixture(scope="module")
def redis(tls: TlsSettings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureRedis]:
    started = start_secure_redis(tmp_path_factory.mktemp("redis") / "data", tls.ca)
    yield started
    started.process.stop(10)


@pytest.fixture
def ledger(redis: SecureRedis, tls: TlsSettings) -> Iterator[RedisClient]:
    client = redis.connect("ledger", tls)
    yield client
    client.close()


@pytest.fixture
def operator(redis: SecureRedis, tls: TlsSettings) -> Iterator[RedisClient]:
    client = redis.connect("operator", tls)
    yield client
    client.close()


def expect_refusal(action: Callable[[], object], *words: str) -> str:
    """UsageError, which ends a service with exit code 2, in one sentence that says what was refused."""
    with pytest.raises(UsageError) as refused:
        action()
    sentence = str(refused.value)
    assert sentence.endswith(".")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence
    return sentence


def test_a_ledger_keeps_and_forgets_with_its_rights(ledger: RedisClient) -> None:
    """Blocks are appended in ``test_security_system``, on the same rights."""
    check_server(ledger)
    states, models = RedisStates(ledger), RedisModels(ledger, CHUNK_SIZE)
    state = b"state"
    states.put(compute_state_digest(state), state)
    assert states.get(compute_state_digest(state)) == state
    model = np.arange(2 * CHUNK_SIZE + 1, dtype=np.int32)
    digest = compute_model_digest(model, CHUNK_SIZE)
    models.put(digest, model)
    assert np.array_equal(models.get(digest), model)  # type: ignore[arg-type]
    assert models.read_chunk(digest, 2) is not None
    models.keep_only(frozenset())
    assert models.get(digest) is None


@pytest.mark.parametrize(
    "command",
    [
        ("FLUSHALL",),
        ("CONFIG", "GET", "*"),
        ("KEYS", "*"),
        ("SET", "other:key", "1"),
        ("GET", "other:key"),
        ("ACL", "LIST"),
    ],
)
def test_a_ledger_may_do_nothing_else(ledger: RedisClient, command: tuple[str, ...]) -> None:
    expect_refusal(lambda: ledger.call(*command), "refuses the user ledger")


def test_a_script_reaches_no_other_keys(ledger: RedisClient) -> None:
    run = ledger.prepare("return redis.call('GET', KEYS[1])")
    assert run([ledger.key("absent")], []) is None
    expect_refusal(lambda: run(["other:key"], []), "refuses the user ledger")


def test_an_operator_looks_and_changes_nothing(ledger: RedisClient, operator: RedisClient) -> None:
    key = ledger.key("state", "seen")
    ledger.call("SET", key, "1")
    assert operator.call("GET", key) == b"1"
    assert operator.get_info()["aof_enabled"] == 1
    for command in (("SET", key, "2"), ("UNLINK", key), ("GET", "other:key"), ("SHUTDOWN",)):
        expect_refusal(lambda command=command: operator.call(*command), "refuses the user operator")  # type: ignore[misc]


def test_whoever_is_no_ledger_gets_nothing(redis: SecureRedis, tls: TlsSettings) -> None:
    """A trainer's certificate is of the same authority, and opens nothing here; neither does a wrong password."""
    for user, password in (("trainer-0", "its own"), ("ledger", "not the password"), ("default", "")):
        client = connect(redis.build_settings(user, password, tls, tls.ca))
        sentence = expect_refusal(lambda client=client: client.call("GET", client.key("head")), "refuses the user")  # type: ignore[misc]
        assert "not the password" not in sentence


def test_certificates_are_asked_for_on_both_sides(redis: SecureRedis, tls: TlsSettings, tmp_path: Path) -> None:
    other = build_tls(build_authority(tmp_path / "other"), "ledger")

    def ask(own: TlsSettings | None, ca: Path) -> RedisSettings:
        return redis.build_settings("ledger", redis.passwords["ledger"], own, ca)

    for settings in (ask(None, tls.ca), ask(other, tls.ca), ask(tls, other.ca)):
        expect_refusal(connect(settings).get_info, "No TLS connection to Redis", redis.address)
