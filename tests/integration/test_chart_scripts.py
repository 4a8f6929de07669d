"""What ``helm test`` runs, against a real Kafka and Redis."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from flobc.adapters.kafka import KafkaSettings
from flobc.adapters.kafka.clients import open_client
from flobc.composition.genesis import build_federation
from flobc.composition.services.parts import get_topic_names
from flobc.composition.settings import RunSettings
from flobc.learning.tasks import get_task
from flobc.protocol.encoding import encode
from tests.support.redis_server import redis_address  # noqa: F401  a fixture

kafka_admin = pytest.importorskip("kafka.admin")

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "charts" / "flobc" / "files" / "try_servers.py"


def try_servers(folder: Path, kafka: str, redis: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {"KAFKA": kafka, "REDIS": redis, "GENESIS": folder / "genesis", "DATA": folder, "VALIDATORS": ""}
    environment = os.environ | {f"FLOBC_{name}": str(value) for name, value in settings.items()}
    command = [sys.executable, str(SCRIPT), *arguments]
    return subprocess.run(
        command, env=environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False, timeout=120
    )


def list_topics(address: str) -> set[str]:
    admin = open_client(kafka_admin.KafkaAdminClient, KafkaSettings(address, "test"))
    try:
        return set(admin.list_topics())
    finally:
        admin.close()


@pytest.fixture
def chain(tmp_path: Path) -> tuple[Path, str]:
    """A folder with a chain's genesis, and the name of its log."""
    genesis = build_federation(RunSettings(task="synthetic"), get_task("synthetic")).genesis
    (tmp_path / "genesis").write_bytes(encode(genesis))
    return tmp_path, get_topic_names(genesis)[0]


def test_a_record_goes_there_and_back_and_nothing_stays(
    chain: tuple[Path, str],
    kafka_address: str,
    redis_address: str,  # noqa: F811
) -> None:
    folder, _ = chain
    found = try_servers(folder, kafka_address, redis_address, "--write")
    assert found.returncode == 0, found.stderr
    assert found.stdout == f"Kafka at {kafka_address} answers\nRedis answers\n"
    assert not any(name.startswith("flobc.test.") for name in list_topics(kafka_address))


def test_a_redis_that_refuses_is_a_sentence(
    chain: tuple[Path, str],
    kafka_address: str,
    redis_address: str,  # noqa: F811
) -> None:
    folder, _ = chain
    refused = try_servers(folder, kafka_address, f"nobody:wrong@{redis_address}", "--write")
    assert refused.returncode == 1
    assert "refuses the user nobody" in refused.stderr
    assert "Traceback" not in refused.stderr
