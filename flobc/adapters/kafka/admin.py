"""Making a topic, or finding out that the one which is there will do."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

from kafka.admin import ConfigResource, KafkaAdminClient  # type: ignore[import-untyped]
from kafka.errors import (  # type: ignore[import-untyped]
    AuthorizationError,
    TopicAlreadyExistsError,
    TopicAuthorizationFailedError,
)

from flobc.adapters.kafka.clients import in_our_words, open_client
from flobc.adapters.kafka.settings import MAX_RECORD_BYTES, RECORD_OVERHEAD_BYTES, KafkaSettings, to_ms
from flobc.errors import TransientError, UsageError

_MISSING_TOPIC_DELAY_S = 1.0
_STOCK_MESSAGE_BYTES = MAX_RECORD_BYTES + RECORD_OVERHEAD_BYTES


@dataclass(frozen=True)
class _Requirement:
    """A setting of a topic: what it is made with, and whether a number that was found is at least as good."""

    name: str
    wanted: str
    is_minimum: bool = False

    def is_met_by(self, found: str) -> bool:
        if found == self.wanted or not self.is_minimum:
            return found == self.wanted
        if found == "-1":
            return True  # without a limit
        return self.wanted != "-1" and int(found) >= int(self.wanted)


def ensure_topic(
    settings: KafkaSettings,
    name: str,
    partitions: int,
    retention_s: float | None,
    max_record_bytes: int = MAX_RECORD_BYTES,
    replicas: int | None = None,
) -> None:
    """Make a topic, or check that the one of this name has what it needs.

    ``retention_s`` is how long records are kept at least, None for ever; ``max_record_bytes`` the largest key and
    value together; ``replicas`` how many brokers hold each record at least, None what the brokers do by themselves.

    **Raises** UsageError that names the setting, what was found and expected, and how to mend it; TransientError
    when Kafka does not answer.
    """
    admin = open_client(KafkaAdminClient, settings)
    try:
        with in_our_words(settings, f"make or check the topic {name}"):
            _ensure(admin, settings, name, partitions, _build_requirements(retention_s, max_record_bytes), replicas)
    finally:
        admin.close()


def check_topic(
    settings: KafkaSettings,
    name: str,
    partitions: int,
    retention_s: float | None,
    max_record_bytes: int = MAX_RECORD_BYTES,
    replicas: int | None = None,
) -> bool:
    """Check a topic as ``ensure_topic`` does, and make none: return whether it is there.

    **Raises** UsageError for one that lacks something, TransientError when Kafka does not answer.
    """
    admin = open_client(KafkaAdminClient, settings)
    try:
        with in_our_words(settings, f"check the topic {name}"):
            is_there = _count_partitions(admin, name) > 0
            if is_there:
                requirements = _build_requirements(retention_s, max_record_bytes)
                _check(admin, settings, name, partitions, requirements, replicas)
            return is_there
    finally:
        admin.close()


def get_version(settings: KafkaSettings) -> str:
    """Return the oldest release of Kafka whose requests the server understands all. **Raises** TransientError."""
    admin = open_client(KafkaAdminClient, settings)
    try:
        with in_our_words(settings, "ask for the version"):
            first = admin.describe_cluster()["brokers"][0]["broker_id"]
            return ".".join(map(str, admin.get_broker_version_data(first).broker_version))
    finally:
        admin.close()


def _build_requirements(retention_s: float | None, max_record_bytes: int) -> list[_Requirement]:
    retention_ms = -1 if retention_s is None else to_ms(retention_s)
    message_bytes = max(_STOCK_MESSAGE_BYTES, max_record_bytes + RECORD_OVERHEAD_BYTES)
    return [
        _Requirement("cleanup.policy", "delete"),
        _Requirement("retention.ms", str(retention_ms), is_minimum=True),
        _Requirement("retention.bytes", "-1", is_minimum=True),
        _Requirement("max.message.bytes", str(message_bytes), is_minimum=True),
        # Kafka unpacks what a stranger packed: a small batch could else fill the memory of everybody who reads it,
        # and one packed in a way that our library cannot unpack would stop them all for good.
        _Requirement("compression.type", "uncompressed"),
    ]


def _ensure(
    admin: KafkaAdminClient,
    settings: KafkaSettings,
    name: str,
    partitions: int,
    requirements: list[_Requirement],
    replicas: int | None,
) -> None:
    if _count_partitions(admin, name) == 0:
        options = {
            "num_partitions": partitions,
            "replication_factor": -1 if replicas is None else replicas,
            "configs": {requirement.name: requirement.wanted for requirement in requirements},
        }
        # another service may be quicker: what it made is checked as any other
        with contextlib.suppress(TopicAlreadyExistsError), _waiting_for_the_maker(settings, name):
            admin.create_topics({name: options}, timeout_ms=to_ms(settings.request_timeout_s))
    admin.wait_for_topics([name], timeout_ms=to_ms(settings.request_timeout_s))
    _check(admin, settings, name, partitions, requirements, replicas)


def _check(
    admin: KafkaAdminClient,
    settings: KafkaSettings,
    name: str,
    partitions: int,
    requirements: list[_Requirement],
    replicas: int | None,
) -> None:
    held = admin.describe_topics([name])[0]["partitions"]
    if len(held) != partitions:
        raise UsageError(
            f"The topic {name} has {len(held)} partitions, expected {partitions}; a sender's records find their "
            "partition by it, so use the number that is there or make the topic anew."
        )
    fewest = min(len(partition["replica_nodes"]) for partition in held)
    if replicas is not None and fewest < replicas:
        raise UsageError(
            f"The topic {name} has {fewest} replicas, expected at least {replicas}; add some with "
            f"kafka-reassign-partitions.sh --bootstrap-server {settings.address}."
        )
    _check_requirements(admin, settings, name, requirements)


@contextlib.contextmanager
def _waiting_for_the_maker(settings: KafkaSettings, name: str) -> Iterator[None]:
    """Not everybody may make a topic: one that sees that it is not there and may not make it has only to wait."""
    try:
        yield
    except AuthorizationError as error:
        raise TransientError(
            f"Kafka at {settings.address} has no topic {name} yet, and this user may not make it; it is made when the "
            "first validator starts, trying again.",
            _MISSING_TOPIC_DELAY_S,
        ) from error


def _count_partitions(admin: KafkaAdminClient, name: str) -> int:
    """How many partitions the topic has; 0 when it is not there. **Raises** what refuses to say."""
    found = admin.describe_topics([name])[0]
    if found["error_code"] == TopicAuthorizationFailedError.errno:
        raise TopicAuthorizationFailedError(name)
    return len(found["partitions"]) if found["error_code"] == 0 else 0


def _check_requirements(
    admin: KafkaAdminClient, settings: KafkaSettings, name: str, requirements: list[_Requirement]
) -> None:
    described = admin.describe_configs([ConfigResource("topic", name)], config_filter="all")
    found = described["topic"][name]
    for requirement in requirements:
        value = str(found[requirement.name]["value"])
        if not requirement.is_met_by(value):
            least = "at least " if requirement.is_minimum and requirement.wanted != "-1" else ""
            raise UsageError(
                f"The topic {name} has {requirement.name}={value}, expected {least}{requirement.wanted}; mend it with "
                f"kafka-configs.sh --bootstrap-server {settings.address} --alter --entity-type topics "
                f"--entity-name {name} --add-config {requirement.name}={requirement.wanted}"
            )
