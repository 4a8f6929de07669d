"""A real Kafka that asks everybody who he is, with the very rights and byte rates of docs/security/kafka-acls.sh."""

from __future__ import annotations

import os
import secrets
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from kafka.admin import ACL, ACLOperation, ACLPermissionType, KafkaAdminClient, ResourcePattern, ResourceType

from flobc.adapters.grpc import TlsSettings
from flobc.adapters.kafka import KafkaSettings
from flobc.composition.local.kafka import LocalKafka, start_kafka
from flobc.composition.local.ports import find_free_port
from flobc.errors import UsageError
from tests.support.certificates import build_tls

SCRIPT = Path(__file__).resolve().parents[2] / "docs" / "security" / "kafka-acls.sh"
ADMIN = "admin"
_RECORDER = '#!/bin/sh\nprintf "%s\\0" "$(basename "$0")" "$@" >> "$RECORD"\nprintf "\\n" >> "$RECORD"\n'
_PROPERTIES = {
    "listeners": "SASL_SSL://{listen_host}:{port},SSL://{listen_host}:TLS_PORT,CONTROLLER://{host}:{controller_port}",
    "advertised.listeners": "SASL_SSL://{host}:{port},SSL://{host}:TLS_PORT,CONTROLLER://{host}:{controller_port}",
    "listener.security.protocol.map": "SASL_SSL:SASL_SSL,SSL:SSL,CONTROLLER:PLAINTEXT",
    "inter.broker.listener.name": "SSL",
    "sasl.enabled.mechanisms": "SCRAM-SHA-512",
    "listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config": (
        "org.apache.kafka.common.security.scram.ScramLoginModule required;"
    ),
    "listener.name.ssl.ssl.client.auth": "required",
    "ssl.principal.mapping.rules": "RULE:^CN=([^,]+).*$/$1/",
    "ssl.keystore.type": "PEM",
    "ssl.keystore.location": "STORE/broker.pem",
    "ssl.truststore.type": "PEM",
    "ssl.truststore.location": "STORE/ca.pem",
    "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
    # the controller's own listener is on this machine's loopback and knows no names
    "super.users": f"User:{ADMIN};User:broker;User:ANONYMOUS",
}


@dataclass(frozen=True)
class SecureKafka:
    """A broker with users: by SCRAM at ``address``, by their certificates at ``tls_address``."""

    server: LocalKafka
    tls_address: str
    ca: Path
    passwords: Mapping[str, str]

    @property
    def address(self) -> str:
        return self.server.address

    def build_settings(self, user: str, password: str | None = None) -> KafkaSettings:
        """How a user comes in by password."""
        return KafkaSettings(
            self.address,
            user,
            connect_timeout_s=4.0,
            security_protocol="SASL_SSL",
            sasl_mechanism="SCRAM-SHA-512",
            sasl_username=user,
            sasl_password=self.passwords[user] if password is None else password,
            tls_ca_file=self.ca,
        )

    def build_tls_settings(self, tls: TlsSettings | None) -> KafkaSettings:
        """How whoever a certificate names comes in; None shows none."""
        return KafkaSettings(
            self.tls_address,
            connect_timeout_s=4.0,
            security_protocol="SSL",
            tls_ca_file=self.ca,
            tls_certificate_file=None if tls is None else tls.certificate,
            tls_key_file=None if tls is None else tls.key,
        )

    @contextmanager
    def open_admin(self) -> Iterator[KafkaAdminClient]:
        admin = KafkaAdminClient(**self.build_settings(ADMIN).build_options())
        try:
            yield admin
        finally:
            admin.close()

    def allow(self, chain: str, users: Mapping[str, Sequence[str]]) -> None:
        """Give the users of each role what the sample script gives them."""
        rules = [rule for command in record_script(chain, users) for rule in read_rules(command)]
        assert rules, "the script gives nobody any rights"
        with self.open_admin() as admin:
            assert not admin.create_acls(rules)["failed"]


def start_secure_kafka(directory: Path, ca: Path, users: Sequence[str]) -> SecureKafka:
    """Start a broker that knows these users, and whom the authority's certificates name; skips where there is none."""
    port, tls_port = find_free_port(), find_free_port()
    tls = build_tls(ca, "broker")
    store = directory / "tls"
    store.mkdir(parents=True)
    (store / "broker.pem").write_text(tls.key.read_text() + tls.certificate.read_text())
    (store / "ca.pem").write_text(ca.read_text())
    passwords = {user: secrets.token_hex(8) for user in (ADMIN, *users)}
    scram = [f"--add-scram=SCRAM-SHA-512=[name={user},password={word}]" for user, word in passwords.items()]
    more = {
        name: value.replace("TLS_PORT", str(tls_port)).replace("STORE", str(store))
        for name, value in _PROPERTIES.items()
    }
    try:
        server = start_kafka(directory, port, more, scram)
    except UsageError as error:
        pytest.skip(str(error))
    if server.runner.container:
        server.stop()
        pytest.skip("a container shows one port, and these tests need two")
    return SecureKafka(server, f"127.0.0.1:{tls_port}", ca, passwords)


def record_script(chain: str, users: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Run the sample script for the users of each role and return the commands that it gives, unperformed."""
    folder = Path(os.environ.get("TMPDIR", "/tmp"), f"flobc-acls-{secrets.token_hex(8)}")
    folder.mkdir()
    try:
        for name in ("kafka-acls.sh", "kafka-configs.sh"):
            (folder / name).write_text(_RECORDER)
            (folder / name).chmod(0o755)
        run_script(folder, "kafka:9093", Path("admin.properties"), chain, users, {"RECORD": str(folder / "record")})
        lines = (folder / "record").read_text().splitlines()
    finally:
        for path in folder.iterdir():
            path.unlink()
        folder.rmdir()
    return [line.split("\0")[:-1] for line in lines]


def run_script(
    programs: Path, address: str, admin: Path, chain: str, users: Mapping[str, Sequence[str]], more: Mapping[str, str]
) -> None:
    """Run the sample script with the programs of a folder before all others."""
    roles = {
        f"{role.upper()}S": " ".join(users.get(role, ())) for role in ("trainer", "validator", "ledger", "operator")
    }
    path = {"PATH": f"{programs}:{os.environ['PATH']}"}
    environment = {**os.environ, **path, **roles, **more, "KAFKA": address, "ADMIN": str(admin), "CHAIN": chain}
    subprocess.run(["sh", str(SCRIPT)], env=environment, check=True, capture_output=True, text=True)


def read_rules(command: Sequence[str]) -> list[ACL]:
    """What a command ``kafka-acls.sh --add`` makes; nothing for another program's."""
    if command[0] != "kafka-acls.sh":
        return []
    found: dict[str, list[str]] = {}
    rest = iter(command[1:])
    for flag in rest:
        found.setdefault(flag, []).append("" if flag == "--add" else next(rest))
    assert set(found) == {
        "--bootstrap-server", "--command-config", "--add", "--topic", "--operation", "--allow-principal",
    }  # fmt: skip
    names = {operation.name.replace("_", "").lower(): operation for operation in ACLOperation}
    return [
        ACL(
            principal,
            "*",
            names[operation.lower()],
            ACLPermissionType.ALLOW,
            ResourcePattern(ResourceType.TOPIC, topic),
        )
        for topic in found["--topic"]
        for operation in found["--operation"]
        for principal in found["--allow-principal"]
    ]
