"""A whole chain over Kafka, Redis and gRPC that know everybody, with the sample rights and not a right more."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flobc.adapters.grpc import LedgerClient, TlsSettings
from flobc.composition.local.process import find_free_port
from flobc.composition.local.system import create_system
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.ledger import run_ledger
from flobc.composition.services.parts import Loop
from flobc.composition.services.settings import LedgerSettings, TrainerSettings, ValidatorSettings, load_settings
from flobc.composition.services.trainer import run_trainer
from flobc.composition.services.validator import run_validator
from flobc.composition.services.workers import prepare_worker
from flobc.composition.settings import RunSettings
from flobc.errors import TransientError
from flobc.protocol.params import get_chain_id
from flobc.protocol.roles.light_client import LightClient
from tests.support.certificates import build_authority, build_tls
from tests.support.dialogue import build_params
from tests.support.secure_kafka import SecureKafka, start_secure_kafka
from tests.support.secure_redis import SecureRedis, start_secure_redis
from tests.support.services import TASK, wait_until

VALIDATORS, BLOCKS = 4, 2
USERS = {
    "trainer": ["trainer-0"],
    "validator": [f"validator-{index}" for index in range(VALIDATORS)],
    "ledger": ["ledger-0"],
}
KINDS = {
    "trainer": (TrainerSettings, run_trainer),
    "validator": (ValidatorSettings, run_validator),
    "ledger": (LedgerSettings, run_ledger),
}


class SecureSystem:
    """A ledger, validators and a trainer, each told by a file of its own who it is."""

    def __init__(self, root: Path, kafka: SecureKafka, redis: SecureRedis, ca: Path) -> None:
        self.root, self.kafka, self.redis, self.ca = root, kafka, redis, ca
        self.tls = {name: build_tls(ca, name) for names in USERS.values() for name in names}
        self.addresses = {name: f"127.0.0.1:{find_free_port()}" for name in self.tls}
        self.loops: dict[str, Loop] = {}
        self.threads: list[threading.Thread] = []
        self.errors: list[BaseException] = []

    def write_settings(self, name: str) -> Path:
        """The settings file of a service."""
        role, _, index = name.partition("-")
        node = self.root / "nodes" / name
        validators = [self.addresses[other] for other in USERS["validator"] if other != name]
        password, tls = node / "kafka-password", self.tls[name]
        password.write_text(self.kafka.passwords[name] + "\n")
        lines = {
            "GENESIS": self.root / "genesis",
            "DATA": node,
            "LISTEN": self.addresses[name],
            "VALIDATORS": ",".join(validators),
            "KAFKA": self.kafka.address,
            "KAFKA_SECURITY": "sasl_ssl",
            "KAFKA_USER": name,
            "KAFKA_PASSWORD_FILE": password,
            "KAFKA_CA": self.ca,
            "GRPC_CA": self.ca,
            "GRPC_CERTIFICATE": tls.certificate,
            "GRPC_KEY": tls.key,
        }
        if role == "ledger":
            (node / "redis-password").write_text(self.redis.passwords["ledger"])
            lines |= {"REDIS": f"rediss://{self.redis.address}", "REDIS_USER": "ledger", "REDIS_CA": self.ca}
            lines |= {"REDIS_PASSWORD_FILE": node / "redis-password"}
            lines |= {"REDIS_CERTIFICATE": tls.certificate, "REDIS_KEY": tls.key}
        else:
            lines |= {"KEY": node / "key", "INDEX": index, "SHARDS": len(USERS[role]), "SEED": 3}
        if role == "validator":
            lines["INITIAL_MODEL"] = self.root / "initial"
        if role == "trainer":
            lines["LEDGERS"] = self.addresses["ledger-0"]
        file = node / "settings"
        file.write_text("# who I am\n" + "".join(f"FLOBC_{key}={value}\n" for key, value in lines.items()))
        return file

    def start(self, name: str) -> None:
        kind, run = KINDS[name.partition("-")[0]]
        settings, loop = load_settings(kind, self.write_settings(name)), Loop(prepare_worker)
        self.loops[name] = loop

        def be() -> None:
            try:
                run(settings, loop)  # type: ignore[operator]
            except BaseException as error:
                self.errors.append(error)

        self.threads.append(threading.Thread(target=be, name=name, daemon=True))
        self.threads[-1].start()

    def stop(self) -> None:
        for loop in self.loops.values():
            loop.stop()
        for thread in self.threads:
            thread.join(60)
            assert not thread.is_alive(), thread.name


@pytest.fixture
def system(tmp_path: Path) -> Iterator[SecureSystem]:
    ca = build_authority(tmp_path / "ca")
    with ExitStack() as stack:
        redis = start_secure_redis(tmp_path / "redis", ca)
        stack.callback(redis.process.stop, 10)
        kafka = start_secure_kafka(tmp_path / "kafka", ca, [name for names in USERS.values() for name in names])
        stack.callback(kafka.server.stop)
        made = SecureSystem(tmp_path / "chain", kafka, redis, ca)
        stack.callback(made.stop)
        yield made


def wait_for_head(client: LedgerClient, system: SecureSystem, height: int) -> None:
    def has_come() -> bool:
        if system.errors:
            raise system.errors[0]
        try:
            head = client.get_head()
        except TransientError:
            return False
        return head is not None and head.height >= height

    wait_until(has_come, f"block {height} in the ledger")


def list_denials(system: SecureSystem, tls: TlsSettings) -> list[bytes]:
    """What Redis refused its users, in its own words."""
    admin = system.redis.connect("admin", tls)
    try:
        found = [dict(zip(entry[::2], entry[1::2], strict=True)) for entry in admin.call("ACL", "LOG")]
    finally:
        admin.close()
    # the library tells every server its own name, and does without an answer
    return [entry[b"object"] for entry in found if not entry[b"object"].startswith(b"client|")]


def test_the_sample_rights_are_enough_for_a_chain(system: SecureSystem) -> None:
    params = build_params("bsp", period_ms=4_000)
    create_system(
        system.root, RunSettings(task=TASK, trainers=1, validators=VALIDATORS, params=params, chunk_size=4, seed=3), 1
    )
    genesis = load_genesis(system.root)
    system.kafka.allow(get_chain_id(genesis).hex()[:16], USERS)
    for name in ("ledger-0", *USERS["validator"], "trainer-0"):
        system.start(name)
    client = LedgerClient([system.addresses["ledger-0"]], system.tls["trainer-0"])
    try:
        wait_for_head(client, system, BLOCKS)
        light = LightClient(genesis)
        for block in client.list_blocks(1):
            light.accept(block.header, block.certificate)
        assert light.head.height >= BLOCKS
        first = client.get_block(1)
        assert first is not None
        assert any(decision.weight for decision in first.accepted), "the trainer's update was not used"
    finally:
        client.close()
    assert list_denials(system, system.tls["ledger-0"]) == []
