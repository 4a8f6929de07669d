"""Commands show servers who they are by the variables that services read."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.adapters.grpc import LedgerServer, TlsSettings
from flobc.cli.main import EXIT_USAGE, main
from flobc.composition.services.connections import find_kafka, find_redis, find_tls
from flobc.errors import UsageError
from tests.support.certificates import build_authority, build_tls
from tests.support.served_chain import ServedChain


@pytest.fixture
def files(tmp_path: Path) -> TlsSettings:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    return build_tls(build_authority(tmp_path / "ca"), "localhost")


@pytest.fixture
def ledger(files: TlsSettings) -> Iterator[str]:
    """The address of a ledger that answers nobody without a certificate."""
    stores = ServedChain()
    stores.grow(2)
    server = LedgerServer(stores.genesis, stores.blocks, stores.states, stores.models, tls=files)
    yield server.start("localhost:0")
    server.stop(0)


def give(monkeypatch: pytest.MonkeyPatch, files: TlsSettings) -> None:
    for name, path in (("CA", files.ca), ("CERTIFICATE", files.certificate), ("KEY", files.key)):
        monkeypatch.setenv(f"FLOBC_GRPC_{name}", str(path))


def test_the_doctor_and_readers_reach_a_ledger_behind_mutual_tls(
    ledger: str, files: TlsSettings, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def examine() -> dict[str, str]:
        main(["doctor", "--ledgers", ledger, "--json"])
        return {found["check"]: found["level"] for found in json.loads(capsys.readouterr().out)["findings"]}

    assert examine()[f"ledger {ledger}"] == "problem"
    give(monkeypatch, files)
    found = examine()
    assert (found["ledgers"], found["heads"]) == ("ok", "ok")
    assert main(["status", ledger, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["height"] == 2


def test_files_that_are_not_there_are_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    give(monkeypatch, TlsSettings(tmp_path / "a", tmp_path / "b", tmp_path / "c"))
    assert main(["doctor", "--ledgers", "localhost:1"]) == EXIT_USAGE
    assert str(tmp_path / "a") in capsys.readouterr().err


def test_each_server_has_its_own_variables(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "password").write_text("secret\n")
    monkeypatch.setenv("FLOBC_KAFKA_SECURITY", "SASL_SSL")
    monkeypatch.setenv("FLOBC_KAFKA_USER", "operator")
    monkeypatch.setenv("FLOBC_KAFKA_PASSWORD_FILE", str(tmp_path / "password"))
    (tmp_path / "ca.pem").touch()
    monkeypatch.setenv("FLOBC_REDIS_CA", str(tmp_path / "ca.pem"))
    kafka = find_kafka("kafka:9093", "join")
    assert (kafka.security_protocol, kafka.sasl_username, kafka.sasl_password) == ("SASL_SSL", "operator", "secret")
    assert kafka.address == "kafka:9093"
    redis = find_redis("rediss://redis:6380", "flobc")
    assert redis.tls_ca == tmp_path / "ca.pem"
    assert find_tls() is None
    with pytest.raises(UsageError, match="FLOBC_REDIS_CA"):
        find_redis("redis:6379", "flobc")
    monkeypatch.delenv("FLOBC_KAFKA_USER")
    with pytest.raises(UsageError, match="FLOBC_KAFKA_USER"):
        find_kafka("kafka:9093", "join")
