"""Who a service is to Kafka, Redis and its peers: settings of users, passwords and TLS files, and their rules."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Literal

from pydantic import BaseModel, BeforeValidator, Field, SecretStr

from flobc.errors import UsageError

DEFAULT_MECHANISM = "SCRAM-SHA-512"


def _none_if_empty(value: object) -> object:
    """What templates leave empty was not given."""
    return None if value == "" else value


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


File = Annotated[Path | None, BeforeValidator(_none_if_empty)]
Name = Annotated[str | None, BeforeValidator(_none_if_empty)]
Secret = Annotated[SecretStr | None, BeforeValidator(_none_if_empty)]
Security = Annotated[Literal["plaintext", "ssl", "sasl_plaintext", "sasl_ssl"], BeforeValidator(_lower)]
Mechanism = Annotated[
    Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"] | None, BeforeValidator(_none_if_empty), BeforeValidator(_upper)
]


class KafkaAccess(BaseModel):
    """How a service shows Kafka who it is."""

    kafka_security: Security = Field(default="plaintext", description="plaintext, ssl, sasl_plaintext or sasl_ssl")
    kafka_sasl_mechanism: Mechanism = Field(
        default=None, description=f"PLAIN, SCRAM-SHA-256 or SCRAM-SHA-512; with sasl it is {DEFAULT_MECHANISM}"
    )
    kafka_user: Name = Field(default=None, description="this service's user, with sasl")
    kafka_password: Secret = Field(default=None, description="its password; better in a file")
    kafka_password_file: File = Field(default=None, description="file with its password alone")
    kafka_ca: File = Field(default=None, description="PEM file of the authorities trusted; else the system's")
    kafka_certificate: File = Field(default=None, description="PEM file of the certificate to show")
    kafka_key: File = Field(default=None, description="PEM file of that certificate's key")

    def read_kafka_password(self) -> str | None:
        """Return the password for Kafka, or None. **Raises** UsageError."""
        return _read_secret("KAFKA_PASSWORD", self.kafka_password, self.kafka_password_file)


class RedisAccess(BaseModel):
    """How a service shows Redis who it is."""

    redis_user: Name = Field(default=None, description="this service's user, unless it is in the address")
    redis_password: Secret = Field(default=None, description="its password; better in a file")
    redis_password_file: File = Field(default=None, description="file with its password alone")
    redis_ca: File = Field(default=None, description="PEM file of the authorities trusted; else the system's")
    redis_certificate: File = Field(default=None, description="PEM file of the certificate to show")
    redis_key: File = Field(default=None, description="PEM file of that certificate's key")

    def read_redis_password(self) -> str | None:
        """Return the password for Redis, or None. **Raises** UsageError."""
        return _read_secret("REDIS_PASSWORD", self.redis_password, self.redis_password_file)


class GrpcAccess(BaseModel):
    """The files of mutual TLS over gRPC, for what a service serves and for what it asks others; all three or none."""

    grpc_ca: File = Field(default=None, description="PEM file of the one authority that all services are of")
    grpc_certificate: File = Field(default=None, description="PEM file of this service's certificate")
    grpc_key: File = Field(default=None, description="PEM file of that certificate's key")


ACCESS_FIELDS = frozenset(name for kind in (KafkaAccess, RedisAccess, GrpcAccess) for name in kind.model_fields)
"""The names of all these settings, which help lists apart."""


def validate_access(settings: BaseModel) -> None:
    """Check that what is given goes together. **Raises** UsageError naming the variables that do not."""
    if isinstance(settings, KafkaAccess):
        _validate_kafka(settings)
    if isinstance(settings, RedisAccess):
        _validate_redis(settings, str(getattr(settings, "redis", "")))
    if isinstance(settings, GrpcAccess):
        _validate_grpc(settings)


def _validate_kafka(settings: KafkaAccess) -> None:
    given = _list_given(settings, "kafka_")
    security = settings.kafka_security
    if security in ("plaintext", "sasl_plaintext"):
        _refuse(
            given, ("KAFKA_CA", "KAFKA_CERTIFICATE", "KAFKA_KEY"), f"FLOBC_KAFKA_SECURITY is {security}", "sasl_ssl"
        )
    if security in ("plaintext", "ssl"):
        sasl = ("KAFKA_SASL_MECHANISM", "KAFKA_USER", "KAFKA_PASSWORD", "KAFKA_PASSWORD_FILE")
        _refuse(given, sasl, f"FLOBC_KAFKA_SECURITY is {security}", "sasl_ssl")
    elif settings.kafka_user is None or settings.read_kafka_password() is None:
        missing = "KAFKA_USER" if settings.kafka_user is None else "KAFKA_PASSWORD_FILE"
        raise UsageError(f"FLOBC_{missing} is missing, and FLOBC_KAFKA_SECURITY is {security}; set it and start again.")
    _require_pair(given, "KAFKA")


def _validate_redis(settings: RedisAccess, address: str) -> None:
    given = _list_given(settings, "redis_")
    if not address.startswith("rediss://"):
        for name in ("REDIS_CA", "REDIS_CERTIFICATE", "REDIS_KEY"):
            if name in given:
                raise UsageError(
                    f"FLOBC_{name} is given, but FLOBC_REDIS asks for no TLS; write the address as rediss://HOST:PORT."
                )
    password = settings.read_redis_password()
    if settings.redis_user is not None and password is None:
        raise UsageError("FLOBC_REDIS_USER is given without a password; set FLOBC_REDIS_PASSWORD_FILE too.")
    if "@" in address and (settings.redis_user is not None or password is not None):
        raise UsageError(
            "FLOBC_REDIS names a user or password, and so do FLOBC_REDIS_USER and FLOBC_REDIS_PASSWORD; leave one out."
        )
    _require_pair(given, "REDIS")


def _validate_grpc(settings: GrpcAccess) -> None:
    given = _list_given(settings, "grpc_")
    missing = [name for name in ("GRPC_CA", "GRPC_CERTIFICATE", "GRPC_KEY") if name not in given]
    if given and missing:
        raise UsageError(
            f"FLOBC_{missing[0]} is missing, and {next(iter(given.values()))} is given; mutual TLS needs authority, "
            "certificate and key."
        )


def _list_given(settings: BaseModel, prefix: str) -> dict[str, str]:
    """What was given of the settings that begin with ``prefix``, in their order, and how a person calls each."""
    names = (name for name in type(settings).model_fields if name in ACCESS_FIELDS and name.startswith(prefix))
    return {name.upper(): f"FLOBC_{name.upper()}" for name in names if getattr(settings, name) is not None}


def _refuse(given: Mapping[str, str], names: tuple[str, ...], because: str, instead: str) -> None:
    for name in names:
        if name in given:
            raise UsageError(
                f"{given[name]} has no use while {because}; leave it out, or set FLOBC_KAFKA_SECURITY={instead}."
            )


def _require_pair(given: Mapping[str, str], server: str) -> None:
    for name, other in ((f"{server}_CERTIFICATE", f"{server}_KEY"), (f"{server}_KEY", f"{server}_CERTIFICATE")):
        if name in given and other not in given:
            raise UsageError(f"FLOBC_{name} is given without FLOBC_{other}; give both, or neither.")


def _read_secret(name: str, secret: SecretStr | None, path: Path | None) -> str | None:
    """A secret from its variable or its file; a last line's end does not belong to it. **Raises** UsageError."""
    if path is None:
        return None if secret is None else secret.get_secret_value()
    if secret is not None:
        raise UsageError(f"FLOBC_{name} and FLOBC_{name}_FILE are both given; leave one out.")
    try:
        found = path.read_text().rstrip("\r\n")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no text"
        raise UsageError(f"FLOBC_{name}_FILE {path} cannot be read ({reason}); correct path or permissions.") from error
    if not found:
        raise UsageError(f"FLOBC_{name}_FILE {path} is empty; write the password into it.")
    return found
