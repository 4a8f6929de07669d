"""Users, passwords and TLS files of a service: what does not go together is one sentence, and no secret is shown."""

from __future__ import annotations

import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.composition.services.connections import build_kafka, build_redis, build_tls
from flobc.composition.services.parts import Loop
from flobc.composition.services.serving import EXIT_USAGE, describe_settings, serve
from flobc.composition.services.settings import LedgerSettings, TrainerSettings, load_settings
from flobc.errors import UsageError

SECRET = "s3cret-word"
GOOD = {
    "GENESIS": "genesis",
    "DATA": "node",
    "KAFKA": "kafka:9093",
    "REDIS": "rediss://redis:6379",
    "VALIDATORS": "validator:7000",
}
SASL = {"KAFKA_SECURITY": "SASL_SSL", "KAFKA_USER": "ledger-0", "KAFKA_PASSWORD": SECRET}
FILES = ("ca", "certificate", "key", "empty")


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    for name in [name for name in os.environ if name.startswith("FLOBC_")]:
        monkeypatch.delenv(name)
    for name in FILES:
        (tmp_path / name).touch()
    (tmp_path / "password").write_text(f"{SECRET}\n")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def load(monkeypatch: pytest.MonkeyPatch, **given: str) -> LedgerSettings:
    for name, value in (GOOD | given).items():
        monkeypatch.setenv(f"FLOBC_{name}", value)
    return load_settings(LedgerSettings)


def test_nothing_given_is_no_security(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a template leaves empty was not given either."""
    for given in ({}, {"KAFKA_USER": "", "KAFKA_CA": "", "KAFKA_PASSWORD": "", "GRPC_KEY": "", "REDIS_KEY": ""}):
        settings = load(monkeypatch, **given)
        kafka = build_kafka(settings, "ledger")
        assert (kafka.security_protocol, kafka.sasl_mechanism, kafka.sasl_username) == ("PLAINTEXT", None, None)
        assert build_tls(settings) is None


def test_sasl_has_a_mechanism_of_its_own_accord(monkeypatch: pytest.MonkeyPatch) -> None:
    kafka = build_kafka(load(monkeypatch, **SASL, KAFKA_CA="ca"), "ledger")
    assert (kafka.security_protocol, kafka.sasl_mechanism) == ("SASL_SSL", "SCRAM-SHA-512")
    assert (kafka.sasl_username, kafka.sasl_password, kafka.tls_ca_file) == ("ledger-0", SECRET, Path("ca"))
    kafka = build_kafka(load(monkeypatch, **SASL, KAFKA_SASL_MECHANISM="scram-sha-256"), "ledger")
    assert kafka.sasl_mechanism == "SCRAM-SHA-256"


def test_a_certificate_for_kafka(monkeypatch: pytest.MonkeyPatch) -> None:
    files = {"KAFKA_CA": "ca", "KAFKA_CERTIFICATE": "certificate", "KAFKA_KEY": "key"}
    kafka = build_kafka(load(monkeypatch, KAFKA_SECURITY="ssl", **files), "ledger")
    assert (kafka.security_protocol, kafka.sasl_mechanism) == ("SSL", None)
    assert (kafka.tls_certificate_file, kafka.tls_key_file) == (Path("certificate"), Path("key"))


def test_a_password_from_a_file_ends_with_its_line(monkeypatch: pytest.MonkeyPatch) -> None:
    given = {"KAFKA_SECURITY": "sasl_plaintext", "KAFKA_USER": "u", "KAFKA_PASSWORD_FILE": "password"}
    settings = load(monkeypatch, **given, REDIS_USER="ledger", REDIS_PASSWORD_FILE="password")
    assert build_kafka(settings, "ledger").sasl_password == SECRET
    redis = build_redis(settings, "chain")
    assert (redis.user, redis.password, redis.tls) == ("ledger", SECRET, True)


def test_redis_takes_its_user_from_the_address_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    redis = build_redis(load(monkeypatch, REDIS=f"rediss://ledger:{SECRET}@redis", REDIS_CA="ca"), "chain")
    assert (redis.user, redis.password, redis.tls_ca) == ("ledger", SECRET, Path("ca"))


def test_the_files_of_mutual_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    tls = build_tls(load(monkeypatch, GRPC_CA="ca", GRPC_CERTIFICATE="certificate", GRPC_KEY="key"))
    assert tls is not None
    assert (tls.ca, tls.certificate, tls.key) == (Path("ca"), Path("certificate"), Path("key"))


WRONG: list[tuple[dict[str, str], str]] = [
    ({"KAFKA_SECURITY": "tls"}, "FLOBC_KAFKA_SECURITY"),
    ({"KAFKA_USER": "u", "KAFKA_PASSWORD": SECRET}, "FLOBC_KAFKA_USER"),
    ({"KAFKA_PASSWORD_FILE": "password"}, "FLOBC_KAFKA_PASSWORD_FILE"),
    ({"KAFKA_CA": "ca"}, "FLOBC_KAFKA_CA"),
    ({"KAFKA_SECURITY": "ssl", "KAFKA_SASL_MECHANISM": "PLAIN"}, "FLOBC_KAFKA_SASL_MECHANISM"),
    ({"KAFKA_SECURITY": "ssl", "KAFKA_KEY": "key"}, "FLOBC_KAFKA_CERTIFICATE"),
    ({"KAFKA_SECURITY": "ssl", "KAFKA_CERTIFICATE": "certificate"}, "FLOBC_KAFKA_KEY"),
    ({"KAFKA_SECURITY": "sasl_ssl", "KAFKA_USER": "u"}, "FLOBC_KAFKA_PASSWORD_FILE"),
    ({"KAFKA_SECURITY": "sasl_ssl", "KAFKA_PASSWORD": SECRET}, "FLOBC_KAFKA_USER"),
    ({**SASL, "KAFKA_PASSWORD_FILE": "password"}, "FLOBC_KAFKA_PASSWORD_FILE"),
    ({**SASL, "KAFKA_PASSWORD": "", "KAFKA_PASSWORD_FILE": "absent"}, "absent"),
    ({**SASL, "KAFKA_PASSWORD": "", "KAFKA_PASSWORD_FILE": "empty"}, "empty"),
    ({**SASL, "KAFKA_SASL_MECHANISM": "MD5"}, "FLOBC_KAFKA_SASL_MECHANISM"),
    ({"REDIS": "redis:6379", "REDIS_CA": "ca"}, "FLOBC_REDIS_CA"),
    ({"REDIS_USER": "ledger"}, "FLOBC_REDIS_PASSWORD_FILE"),
    ({"REDIS": f"rediss://a:{SECRET}@redis", "REDIS_USER": "b", "REDIS_PASSWORD": SECRET}, "FLOBC_REDIS_USER"),
    ({"REDIS_KEY": "key"}, "FLOBC_REDIS_CERTIFICATE"),
    ({"GRPC_CA": "ca"}, "FLOBC_GRPC_CERTIFICATE"),
    ({"GRPC_CERTIFICATE": "certificate", "GRPC_KEY": "key"}, "FLOBC_GRPC_CA"),
]


@pytest.mark.parametrize(("given", "named"), WRONG)
def test_what_does_not_go_together_is_one_sentence(
    given: dict[str, str], named: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError) as refused:
        load(monkeypatch, **given)
    sentence = str(refused.value)
    assert named in sentence
    assert sentence.startswith("FLOBC_")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    assert SECRET not in sentence


def test_no_secret_is_printed(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(monkeypatch, **SASL, REDIS=f"rediss://ledger:{SECRET}@redis")
    shown = f"{settings!r} {settings} {build_kafka(settings, 'ledger')!r} {build_redis(settings, 'chain')!r}"
    assert SECRET not in shown + describe_settings("flobc-ledger", "Is one.", LedgerSettings)


@pytest.fixture
def preserved() -> Iterator[None]:
    """A service sets up logging and signals; here they are as before."""
    root, own = logging.getLogger(), logging.getLogger("flobc")
    before = root.handlers[:], root.level, own.level
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    root.handlers[:], root.level, own.level = before[0], before[1], before[2]
    for number, handler in handlers.items():
        signal.signal(number, handler)


def serve_with(*arguments: str) -> tuple[int, list[LedgerSettings]]:
    """What a service comes to, and the settings that it was started with."""
    taken: list[LedgerSettings] = []

    def run(settings: LedgerSettings, loop: Loop) -> None:
        taken.append(settings)
        loop.stop()
        loop.run()

    return serve("flobc-ledger", "Is one.", LedgerSettings, run, arguments=arguments), taken


def write_file(path: Path, *more: str) -> None:
    lines = ["# a ledger", "", *(f"FLOBC_{name}={value}" for name, value in GOOD.items()), *more]
    path.write_text("\n".join(lines))


@pytest.mark.parametrize("way", ["two words", "one word", "variable"])
def test_settings_from_a_file_and_the_environment_wins(
    way: str, here: Path, monkeypatch: pytest.MonkeyPatch, preserved: None
) -> None:
    """A file may also hold what another role needs."""
    write_file(here / "ledger.env", "FLOBC_LISTEN=127.0.0.1:7000", 'FLOBC_LOG_LEVEL="ERROR"', "FLOBC_LEDGERS=l:1")
    monkeypatch.setenv("FLOBC_LISTEN", "127.0.0.1:8000")
    arguments = {"two words": ("--settings", "ledger.env"), "one word": ("--settings=ledger.env",)}.get(way, ())
    if way == "variable":
        monkeypatch.setenv("FLOBC_SETTINGS", "ledger.env")
    code, taken = serve_with(*arguments)
    assert code == 0
    assert [(settings.listen, settings.log_level, settings.kafka) for settings in taken] == [
        ("127.0.0.1:8000", "ERROR", "kafka:9093")
    ]


@pytest.mark.parametrize(
    ("line", "words"),
    [
        (f"FLOBC_KAFKA_PASWORD={SECRET}", "did you mean 'FLOBC_KAFKA_PASSWORD'"),
        (SECRET, "not of the form NAME=VALUE"),
        ("PATH=/bin", "no setting"),
    ],
)
def test_a_mistyped_line_is_named_by_its_number(
    line: str, words: str, here: Path, capsys: pytest.CaptureFixture[str], preserved: None
) -> None:
    write_file(here / "ledger.env", line)
    assert serve_with("--settings", "ledger.env") == (EXIT_USAGE, [])
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert f"line {len(GOOD) + 3} of" in said.lower()
    assert words in said
    assert SECRET not in said


def test_a_file_that_is_not_there(capsys: pytest.CaptureFixture[str], preserved: None) -> None:
    assert serve_with("--settings", "absent.env") == (EXIT_USAGE, [])
    assert "absent.env cannot be read" in capsys.readouterr().err
    assert serve_with("--settings") == (EXIT_USAGE, [])
    assert "usage: flobc-ledger [--settings PATH]" in capsys.readouterr().out


def test_a_trainer_has_nothing_to_do_with_redis() -> None:
    assert not [name for name in TrainerSettings.model_fields if name.startswith("redis")]
