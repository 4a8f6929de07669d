"""Kafka with users and rights: each role may do what the sample script lets it do, and is refused all else at once."""

from __future__ import annotations

import dataclasses
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from kafka import KafkaProducer  # type: ignore[import-untyped]
from kafka.errors import KafkaTimeoutError, TopicAuthorizationFailedError  # type: ignore[import-untyped]

from flobc.adapters.kafka import KafkaSettings, KafkaTopic, ensure_topic
from flobc.composition.local.kafka_runner import fetch_jars
from flobc.errors import TransientError, UsageError
from tests.support.certificates import build_authority, build_tls
from tests.support.secure_kafka import ADMIN, SecureKafka, record_script, run_script, start_secure_kafka
from tests.support.topics import append_one, read_entries

CHAIN = "0123456789abcdef"
LOG, UPDATES = f"flobc.{CHAIN}.log", f"flobc.{CHAIN}.updates"
USERS = {
    "trainer": ["trainer-0"],
    "validator": ["validator-0"],
    "ledger": ["ledger-0"],
    "operator": ["operator"],
}


@pytest.fixture(scope="module")
def ca(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_authority(tmp_path_factory.mktemp("authority") / "ca")


@pytest.fixture(scope="module")
def kafka(ca: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    """A broker on which the validator has made the chain's topics."""
    users = [*(name for names in USERS.values() for name in names), "stranger"]
    started = start_secure_kafka(tmp_path_factory.mktemp("kafka"), ca, users)
    try:
        started.allow(CHAIN, USERS)
        for user, name, partitions in (("trainer-0", UPDATES, 2), ("ledger-0", LOG, 1)):
            with pytest.raises(TransientError, match="this user may not make it"):
                ensure_topic(started.build_settings(user), name, partitions, None)
        for name, partitions in ((LOG, 1), (UPDATES, 2)):
            ensure_topic(started.build_settings("validator-0"), name, partitions, None)
        yield started
    finally:
        started.server.stop()


@contextmanager
def opened(settings: KafkaSettings, name: str) -> Iterator[KafkaTopic]:
    topic = KafkaTopic(settings, name)
    try:
        yield topic
    finally:
        topic.close(1)


def append(settings: KafkaSettings, name: str) -> None:
    with opened(settings, name) as topic:
        append_one(topic, b"value")


def read(settings: KafkaSettings, name: str) -> None:
    with opened(settings, name) as topic:
        read_entries(topic, 1)


def expect_refusal(action: Callable[[], object], *words: str) -> None:
    """UsageError, which ends a service with exit code 2, in one sentence that says what was refused."""
    with pytest.raises(UsageError) as refused:
        action()
    sentence = str(refused.value)
    assert sentence.startswith("Cannot ")
    assert sentence.endswith(".")
    assert "\n" not in sentence
    for word in words:
        assert word in sentence


def test_each_role_does_its_work(kafka: SecureKafka) -> None:
    """Every role checks the topics that it opens, as services do at their start."""
    for user, name, partitions in (
        ("validator-0", LOG, 1),
        ("validator-0", UPDATES, 2),
        ("trainer-0", UPDATES, 2),
        ("ledger-0", LOG, 1),
    ):
        ensure_topic(kafka.build_settings(user), name, partitions, None)
    append(kafka.build_settings("validator-0"), LOG)
    append(kafka.build_settings("trainer-0"), UPDATES)
    append(kafka.build_settings("operator"), UPDATES)
    for user, name in (
        ("trainer-0", UPDATES),
        ("validator-0", UPDATES),
        ("validator-0", LOG),
        ("ledger-0", LOG),
    ):
        read(kafka.build_settings(user), name)


def test_a_ledger_does_not_write_the_log(kafka: SecureKafka) -> None:
    expect_refusal(lambda: append(kafka.build_settings("ledger-0"), LOG), f"append to {LOG}", "AuthorizationFailed")


def test_a_trainer_neither_writes_nor_reads_nor_even_sees_the_log(kafka: SecureKafka) -> None:
    append(kafka.build_settings("validator-0"), LOG)
    with opened(kafka.build_settings("validator-0"), LOG) as topic:
        before = topic.ends()
    settings = kafka.build_settings("trainer-0")
    for action in (append, read):
        with pytest.raises(TransientError, match="has no topic"):
            action(settings, LOG)
    producer = KafkaProducer(**settings.build_options(), max_block_ms=5_000)
    try:
        with pytest.raises((TopicAuthorizationFailedError, KafkaTimeoutError)):
            producer.send(LOG, b"value", partition=0).get(10)
    finally:
        producer.close(1)
    with opened(kafka.build_settings("validator-0"), LOG) as topic:
        assert topic.ends() == before


def test_an_operator_does_not_read_updates(kafka: SecureKafka) -> None:
    expect_refusal(lambda: read(kafka.build_settings("operator"), UPDATES), f"read {UPDATES}", "AuthorizationFailed")


def test_validators_write_no_updates(kafka: SecureKafka) -> None:
    expect_refusal(lambda: append(kafka.build_settings("validator-0"), UPDATES), f"append to {UPDATES}")


@pytest.mark.parametrize("user", ["trainer-0", "validator-0", "stranger"])
def test_nobody_makes_other_topics(kafka: SecureKafka, user: str) -> None:
    expect_refusal(lambda: ensure_topic(kafka.build_settings(user), "flobc.other.log", 1, None), "flobc.other.log")
    with kafka.open_admin() as admin:
        assert "flobc.other.log" not in admin.list_topics()


def test_a_stranger_with_a_password_sees_nothing(kafka: SecureKafka) -> None:
    expect_refusal(lambda: ensure_topic(kafka.build_settings("stranger"), LOG, 1, None), LOG)


def test_a_wrong_password_is_refused_and_not_repeated(kafka: SecureKafka) -> None:
    settings = kafka.build_settings("validator-0", "not the password")
    for attempt in (lambda: ensure_topic(settings, LOG, 1, None), lambda: append(settings, LOG)):
        with pytest.raises(UsageError, match="correct the user, password") as refused:
            attempt()
        assert "not the password" not in str(refused.value)


def test_a_mechanism_that_the_broker_does_not_know_is_refused(kafka: SecureKafka) -> None:
    settings = dataclasses.replace(kafka.build_settings("validator-0"), sasl_mechanism="PLAIN")
    expect_refusal(lambda: append(settings, LOG), "UnsupportedSaslMechanism")


def test_a_certificate_is_as_good_as_a_password(kafka: SecureKafka, ca: Path) -> None:
    """Whoever the certificate names has that user's rights and no others."""
    settings = kafka.build_tls_settings(build_tls(ca, "trainer-0"))
    append(settings, UPDATES)
    ledger = kafka.build_tls_settings(build_tls(ca, "ledger-0"))
    expect_refusal(lambda: append(ledger, LOG), f"append to {LOG}")


def test_without_a_certificate_of_the_authority_nobody_comes_in(kafka: SecureKafka, tmp_path: Path) -> None:
    other = build_authority(tmp_path / "other")
    for tls in (None, build_tls(other, "trainer-0")):
        expect_refusal(lambda tls=tls: append(kafka.build_tls_settings(tls), UPDATES), "does not take our certificate")  # type: ignore[misc]


def test_a_broker_of_another_authority_is_not_spoken_to(kafka: SecureKafka, tmp_path: Path) -> None:
    other = build_authority(tmp_path / "other")
    settings = dataclasses.replace(kafka.build_settings("trainer-0"), tls_ca_file=other)
    expect_refusal(lambda: append(settings, UPDATES), "is not to be trusted")


def test_byte_rates_are_set_for_everybody(kafka: SecureKafka, tmp_path: Path) -> None:
    """The script's own commands, carried out by Kafka's program for one user, and read back."""
    named = {
        command[command.index("--entity-name") + 1] for command in record_script(CHAIN, USERS) if "users" in command
    }
    assert named == {name for names in USERS.values() for name in names}
    admin = tmp_path / "admin.properties"
    admin.write_text(
        "security.protocol=SASL_SSL\nsasl.mechanism=SCRAM-SHA-512\nssl.truststore.type=PEM\n"
        f"ssl.truststore.location={kafka.ca}\n"
        "sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required "
        f'username="{ADMIN}" password="{kafka.passwords[ADMIN]}";\n'
    )
    java = f'exec java -Xmx128m -XX:TieredStopAtLevel=1 -cp "{fetch_jars()}/*"'
    for name, text in {"kafka-configs.sh": f'{java} kafka.admin.ConfigCommand "$@"', "kafka-acls.sh": "exit 0"}.items():
        (tmp_path / name).write_text(f"#!/bin/sh\n{text}\n")
        (tmp_path / name).chmod(0o755)
    run_script(tmp_path, kafka.address, admin, CHAIN, {"trainer": ["trainer-0"]}, {"TRAINER_BYTES_PER_S": "123456"})
    asked = [tmp_path / "kafka-configs.sh", "--bootstrap-server", kafka.address, "--command-config", admin]
    said = subprocess.run(
        [*asked, "--describe", "--entity-type", "users", "--entity-name", "trainer-0"],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    assert "producer_byte_rate=123456.0" in said
    assert "consumer_byte_rate=123456.0" in said
