"""What a service's settings say of Kafka, Redis and TLS, in the words of their adapters."""

from __future__ import annotations

import dataclasses
from typing import Literal

from flobc.adapters.grpc import TlsSettings
from flobc.adapters.kafka import KafkaSettings
from flobc.adapters.redis import RedisSettings
from flobc.composition.services.access import DEFAULT_MECHANISM, GrpcAccess
from flobc.composition.services.settings import (
    GrpcCommand,
    KafkaCommand,
    LedgerSettings,
    RedisCommand,
    ServiceSettings,
    read_settings,
)

_PROTOCOLS: dict[str, Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]] = {
    "plaintext": "PLAINTEXT",
    "ssl": "SSL",
    "sasl_plaintext": "SASL_PLAINTEXT",
    "sasl_ssl": "SASL_SSL",
}


def build_kafka(settings: ServiceSettings | KafkaCommand, client_id: str) -> KafkaSettings:
    """Return how a service or command reaches Kafka. **Raises** UsageError when its password cannot be read."""
    mechanism = settings.kafka_sasl_mechanism or DEFAULT_MECHANISM
    return KafkaSettings(
        settings.kafka,
        client_id,
        security_protocol=_PROTOCOLS[settings.kafka_security],
        sasl_mechanism=mechanism if settings.kafka_security.startswith("sasl") else None,
        sasl_username=settings.kafka_user,
        sasl_password=settings.read_kafka_password(),
        tls_ca_file=settings.kafka_ca,
        tls_certificate_file=settings.kafka_certificate,
        tls_key_file=settings.kafka_key,
    )


def build_redis(settings: LedgerSettings | RedisCommand, prefix: str) -> RedisSettings:
    """Return how a ledger or command reaches Redis. **Raises** UsageError when address or files are wrong."""
    found = RedisSettings.from_url(
        settings.redis,
        prefix,
        tls_ca=settings.redis_ca,
        tls_certificate=settings.redis_certificate,
        tls_key=settings.redis_key,
    )
    password = settings.read_redis_password()
    return found if password is None else dataclasses.replace(found, user=settings.redis_user, password=password)


def build_tls(settings: GrpcAccess) -> TlsSettings | None:
    """Return the files of mutual TLS over gRPC, or None where it is not asked for."""
    if settings.grpc_ca is None or settings.grpc_certificate is None or settings.grpc_key is None:
        return None
    return TlsSettings(settings.grpc_ca, settings.grpc_certificate, settings.grpc_key)


def find_kafka(address: str, client_id: str) -> KafkaSettings:
    """Return how a command reaches the Kafka at ``address``, by the environment. **Raises** UsageError."""
    return build_kafka(read_settings(KafkaCommand, lambda: KafkaCommand(kafka=address)), client_id)


def find_redis(address: str, prefix: str) -> RedisSettings:
    """Return how a command reaches the Redis at ``address``, by the environment. **Raises** UsageError."""
    return build_redis(read_settings(RedisCommand, lambda: RedisCommand(redis=address)), prefix)


def find_tls() -> TlsSettings | None:
    """Return the files with which a command shows ledgers and validators who it is. **Raises** UsageError."""
    return build_tls(read_settings(GrpcCommand, GrpcCommand))
