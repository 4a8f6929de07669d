"""What a service is told at its start: variables ``FLOBC_...`` of the environment, or of a file; read once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from flobc.composition.genesis import ShardPlace
from flobc.composition.services.access import File, GrpcAccess, KafkaAccess, RedisAccess, validate_access
from flobc.composition.services.settings_file import validate_settings_file
from flobc.errors import UsageError

KEY_INDEX = "{index}"
"""What stands for a trainer's number in FLOBC_KEY of a process with several trainers."""

S = TypeVar("S", bound=BaseSettings)
_FROM_ENVIRONMENT = SettingsConfigDict(env_prefix="FLOBC_", frozen=True, extra="ignore")


class ProgramSettings(GrpcAccess, BaseSettings):
    """What every service needs, the explorer included."""

    model_config = _FROM_ENVIRONMENT

    genesis: Path = Field(description="file with the chain's block 0, the same for everybody")
    metrics: str = Field(default="", description="address to serve Prometheus metrics on, HOST:PORT; none if empty")
    log_level: str = Field(default="INFO", description="DEBUG, INFO, WARNING or ERROR")


class ServerSettings(BaseModel):
    """What a service needs that others ask over gRPC."""

    listen: str = Field(default="127.0.0.1:0", description="address to serve gRPC on")


class ServiceSettings(KafkaAccess, ProgramSettings):
    """What every service that takes part in a chain needs."""

    data: Path = Field(description="directory of this node's own, kept over restarts")
    kafka: str = Field(description="Kafka's bootstrap address, HOST:PORT")
    traces_file: Path | None = Field(default=None, description="file to append spans to, one JSON object a line")


class LearnerSettings(ServiceSettings):
    """What trainers and validators need to find their key and their private shard."""

    key: Path = Field(description="file with this node's secret key (flobc keys new)")
    index: int = Field(description="which shard is this node's, from 0", ge=0)
    shards: int = Field(description="into how many shards the data is dealt", ge=1)
    sharding: str = Field(default="iid", description="how training data is dealt, as for flobc run")
    seed: int = Field(default=0, description="seed of the shards and of this node's training")
    data_sets: Path | None = Field(default=None, description="directory where data sets are looked for")

    def get_place(self) -> ShardPlace:
        """Return which share of the data is this node's. **Raises** UsageError when there is no such share."""
        if self.index >= self.shards:
            raise UsageError(f"FLOBC_INDEX {self.index} needs more than {self.shards} shards; they count from 0.")
        return ShardPlace(self.index, self.shards, self.sharding, self.seed, self.data_sets)


class TrainerSettings(LearnerSettings):
    """A trainer's settings."""

    ledgers: str = Field(description="gRPC addresses of ledgers, HOST:PORT,HOST:PORT")
    invitation: Path | None = Field(default=None, description="file with the invitation to join by (flobc invite)")
    trainers_per_process: int = Field(
        default=1, description="how many trainers this process is: N of them have the shards INDEX*N on", ge=1
    )
    reuse_shards: bool = Field(default=False, description="deal the first shards again to trainers beyond the last one")

    def list_indices(self) -> range:
        """Return the numbers of this process's trainers, which are their shards' too, counted round if they are reused.

        **Raises** UsageError when there are no such shards.
        """
        first = self.index * self.trainers_per_process
        if self.reuse_shards:
            return range(first, first + self.trainers_per_process)
        if first >= self.shards:
            raise UsageError(
                f"FLOBC_INDEX {self.index} of processes with {self.trainers_per_process} trainers needs more than "
                f"{self.shards} shards; they count from 0."
            )
        return range(first, min(first + self.trainers_per_process, self.shards))

    def get_place(self) -> ShardPlace:
        """Return which share of the data is the first trainer's. **Raises** UsageError when there is no such share."""
        first = self.list_indices()[0] % self.shards
        return ShardPlace(first, self.shards, self.sharding, self.seed, self.data_sets)

    def get_key_path(self, index: int) -> Path:
        """Return one trainer's key file. **Raises** UsageError when several trainers would share one."""
        text = str(self.key)
        if self.trainers_per_process > 1 and KEY_INDEX not in text:
            raise UsageError(
                f"FLOBC_KEY {text} names one key for {self.trainers_per_process} trainers; give a pattern such as "
                f"keys/trainer-{KEY_INDEX}."
            )
        return Path(text.replace(KEY_INDEX, str(index)))


class ValidatorSettings(ServerSettings, LearnerSettings):
    """A validator's settings."""

    initial_model: Path | None = Field(default=None, description="directory with the chain's first model")
    validators: str = Field(default="", description="gRPC addresses of other validators, to fetch models from")
    scorers: int = Field(default=1, description="how many processes score updates", ge=1)
    keep_payloads: bool = Field(default=False, description="keep settled updates on disk, which Kafka keeps too")


class LedgerSettings(ServerSettings, RedisAccess, ServiceSettings):
    """A ledger's settings."""

    redis: str = Field(description="Redis's address, HOST:PORT or rediss://HOST:PORT with TLS", repr=False)
    validators: str = Field(description="gRPC addresses of validators, to fetch models from")


class ExplorerSettings(ProgramSettings):
    """An explorer's settings."""

    ledgers: str = Field(description="gRPC addresses of ledgers, HOST:PORT,HOST:PORT")
    listen: str = Field(default="127.0.0.1:8080", description="address to serve web pages on")
    data: File = Field(default=None, description="directory where the index is kept; else it goes when this stops")
    web_certificate: File = Field(default=None, description="PEM file of the certificate for HTTPS; else it is HTTP")
    web_key: File = Field(default=None, description="PEM file of that certificate's key")

    def get_web_files(self) -> tuple[Path, Path] | None:
        """Return certificate and key for HTTPS, or None for HTTP. **Raises** UsageError when one is missing."""
        if (self.web_certificate is None) != (self.web_key is None):
            raise UsageError("FLOBC_WEB_CERTIFICATE and FLOBC_WEB_KEY go together; give both, or neither.")
        return None if self.web_certificate is None or self.web_key is None else (self.web_certificate, self.web_key)


class KafkaCommand(KafkaAccess, BaseSettings):
    """Who a command is to Kafka, by the variables that services read; the address is its argument."""

    model_config = _FROM_ENVIRONMENT
    kafka: str = ""


class RedisCommand(RedisAccess, BaseSettings):
    """As ``KafkaCommand``, to Redis."""

    model_config = _FROM_ENVIRONMENT
    redis: str = Field(default="", repr=False)


class GrpcCommand(GrpcAccess, BaseSettings):
    """As ``KafkaCommand``, to ledgers and validators."""

    model_config = _FROM_ENVIRONMENT


def split_addresses(text: str) -> tuple[str, ...]:
    """Return the addresses in a comma-separated list."""
    return tuple(item.strip() for item in text.split(",") if item.strip())


def load_settings(kind: type[S], file: Path | None = None) -> S:
    """Read a service's settings from the environment and, what is not there, from a file.

    **Raises** UsageError naming the first variable that is wrong, or those that do not go together.
    """
    known = (TrainerSettings, ValidatorSettings, LedgerSettings, ExplorerSettings, kind)
    if file is not None:
        validate_settings_file(file, {f"FLOBC_{name.upper()}" for each in known for name in each.model_fields})
    return read_settings(kind, lambda: kind(_env_file=file))


def read_settings(kind: type[S], build: Callable[[], S]) -> S:
    """Return what ``build`` reads, checked. **Raises** UsageError as ``load_settings`` does."""
    try:
        settings = build()
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0]) if first["loc"] else "?"
        field = kind.model_fields.get(name)
        about = f" ({field.description})" if field is not None else ""
        raise UsageError(f"FLOBC_{name.upper()}{about}: {first['msg'].lower()}; set it and start again.") from error
    validate_access(settings)
    return settings
