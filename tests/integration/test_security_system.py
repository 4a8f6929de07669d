"""A whole chain over Kafka, Redis and gRPC that know everybody, with the sample rights and not a right more."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from flobc.adapters.grpc import LedgerClient, TlsSettings
from flobc.cli.main import EXIT_STOPPED, EXIT_USAGE, EXIT_VERIFICATION, main
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.system import create_system
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.ledger import run_ledger
from flobc.composition.services.parts import Loop
from flobc.composition.services.settings import LedgerSettings, TrainerSettings, ValidatorSettings, load_settings
from flobc.composition.services.trainer import run_trainer
from flobc.composition.services.validator import run_validator
from flobc.composition.settings import RunSettings
from flobc.errors import TransientError
from flobc.protocol.params import get_chain_id
from flobc.protocol.roles.light_client import LightClient
from flobc.runtime.worker_threads import prepare_worker
from tests.support.certificates import build_authority, build_tls
from tests.support.dialogue import build_params
from tests.support.secure_kafka import SecureKafka, start_secure_kafka
from tests.support.secure_redis import SecureRedis, start_secure_redis
from tests.support.services import TASK, wait_until

ROOT = Path(__file__).resolve().parents[2]
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


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureSystem]:
    """Servers, and a chain that nobody works on yet."""
    tmp_path = tmp_path_factory.mktemp("secure")
    ca = build_authority(tmp_path / "ca")
    with ExitStack() as stack:
        redis = start_secure_redis(tmp_path / "redis", ca)
        stack.callback(redis.process.stop, 10)
        kafka = start_secure_kafka(tmp_path / "kafka", ca, [name for names in USERS.values() for name in names])
        stack.callback(kafka.server.stop)
        made = SecureSystem(tmp_path / "chain", kafka, redis, ca)
        stack.callback(made.stop)
        create_chain(made)
        yield made


def create_chain(system: SecureSystem) -> None:
    params = build_params("bsp", period_ms=4_000)
    create_system(
        system.root, RunSettings(task=TASK, trainers=1, validators=VALIDATORS, params=params, chunk_size=4, seed=3), 1
    )
    system.kafka.allow(get_chain_id(load_genesis(system.root)).hex()[:16], USERS)


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


REFUSALS = [
    ("trainer-0", {"KAFKA_PASSWORD": "wrong", "KAFKA_PASSWORD_FILE": ""}, ("Kafka at", "SaslAuthenticationFailed")),
    ("ledger-0", {"REDIS_PASSWORD": "wrong", "REDIS_PASSWORD_FILE": ""}, ("Redis at", "refuses the user ledger")),
    ("ledger-0", {"REDIS_CERTIFICATE": "", "REDIS_KEY": ""}, ("No TLS connection to Redis", "CERTIFICATE_REQUIRED")),
]


@pytest.mark.parametrize(("name", "changed", "words"), REFUSALS)
def test_a_refused_service_ends_with_one_sentence(
    system: SecureSystem, name: str, changed: dict[str, str], words: tuple[str, ...]
) -> None:
    role = name.partition("-")[0]
    command = [sys.executable, "-m", f"services.{role}.main", "--settings", str(system.write_settings(name))]
    environment = {**os.environ, **{f"FLOBC_{key}": value for key, value in changed.items()}}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert run.returncode == EXIT_USAGE, run.stderr
    sentences = [line for line in run.stderr.splitlines() if line.startswith(f"flobc-{role}: ")]
    assert len(sentences) == 1
    for word in words:
        assert word in sentences[0]
    for password in (*system.kafka.passwords.values(), *system.redis.passwords.values(), "wrong"):
        assert password not in run.stderr


def look(system: SecureSystem, *command: str, tls: bool = True) -> int:
    """Carry out a command on the ledger's address, as whoever has the trainer's certificate, or nobody."""
    files = system.tls["trainer-0"]
    given = ["--tls-ca", files.ca, "--tls-certificate", files.certificate, "--tls-key", files.key] if tls else []
    return main([command[0], system.addresses["ledger-0"], *command[1:], *map(str, given), "--json", "--quiet"])


def require_looks(system: SecureSystem, chain: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Every command that looks at a chain reaches a ledger that knows who asks, and no other does."""
    assert look(system, "status") == 0
    status = json.loads(capsys.readouterr().out)
    assert (status["chain_id"], status["path"]) == (chain, system.addresses["ledger-0"])
    assert status["height"] >= BLOCKS
    assert look(system, "blocks", "--height", "1") == 0
    assert json.loads(capsys.readouterr().out)["height"] == 1
    assert look(system, "watch", "--until", "1") == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["height"] >= 1
    assert look(system, "verify", "--chain", chain) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["verified"]
    assert report["blocks_checked"] >= BLOCKS
    assert not report["complete"], "a ledger has no log, and verify must not claim it"
    assert look(system, "verify", "--chain", "00" * 32) == EXIT_VERIFICATION
    assert look(system, "verify", "--full") == EXIT_VERIFICATION
    assert look(system, "status", tls=False) == EXIT_STOPPED
    assert "hung up" in capsys.readouterr().err


def test_the_sample_rights_are_enough_for_a_chain(system: SecureSystem, capsys: pytest.CaptureFixture[str]) -> None:
    genesis = load_genesis(system.root)
    before = len(list_denials(system, system.tls["ledger-0"]))
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
        require_looks(system, get_chain_id(genesis).hex(), capsys)
    finally:
        client.close()
    assert len(list_denials(system, system.tls["ledger-0"])) == before, "a ledger was refused something"
