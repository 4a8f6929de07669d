"""What Kafka is run with: Docker before Java, jars fetched once, and a clear word when there is neither."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from flobc.composition.local.kafka_runner import KAFKA_VERSION, fetch_jars, find_runner, read_java_version
from flobc.errors import UsageError

JAVA = "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2"
MAVEN = """
echo called >> "$(dirname "$0")/calls"
sleep 0.2
for word in "$@"; do case "$word" in
  -DoutputDirectory=*) /bin/mkdir -p "${word#*=}"; echo jar > "${word#*=}/kafka.jar";;
  -Dkafka.version=*) echo "${word#*=}" > "$(dirname "$0")/version";;
esac; done
"""
DOCKER = """
case "$1" in info) echo 28.1;; image) echo sha256:0;; *) exit 1;; esac
"""

Install = Callable[[str, str], None]


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """A machine of its own with nothing installed, and a way to install a program that is a shell script."""
    programs = tmp_path / "programs"
    programs.mkdir()
    for name in ("dirname", "sleep"):
        (programs / name).symlink_to(
            next(place / name for place in map(Path, ("/bin", "/usr/bin")) if (place / name).exists())
        )
    monkeypatch.setenv("PATH", str(programs))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def install_program(name: str, script: str) -> None:
        (programs / name).write_text(f"#!/bin/sh\n{script}\n")
        (programs / name).chmod(0o755)

    return install_program


def count_fetches(tmp_path: Path) -> int:
    return len((tmp_path / "programs" / "calls").read_text().splitlines())


def test_invalid_machine_without_docker_and_java_is_told_what_to_install(install: Install, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="sudo apt install openjdk-17-jre-headless maven") as raised:
        find_runner(tmp_path, 9092)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("says", "version"), [("17.0.15", 17), ("1.8.0_392", 1), ("21", 21)])
def test_reads_the_version_of_java(install: Install, says: str, version: int) -> None:
    install("java", f"echo 'openjdk version \"{says}\" 2025-04-15' >&2")
    assert read_java_version() == version


def test_invalid_java_is_too_old(install: Install, tmp_path: Path) -> None:
    install("java", "echo 'java version \"11.0.2\"' >&2")
    install("mvn", MAVEN)
    with pytest.raises(UsageError, match="Java 17"):
        find_runner(tmp_path, 9092)


def test_java_runs_the_jars_that_maven_fetched(install: Install, tmp_path: Path) -> None:
    install("java", JAVA)
    install("mvn", MAVEN)
    runner = find_runner(tmp_path, 9092)
    command = runner.build_command("kafka.Kafka", "server.properties")
    libs = tmp_path / "cache" / "flobc" / f"kafka-{KAFKA_VERSION}" / "libs"
    assert command[0] == "java"
    assert command[-4:] == ["-cp", f"{libs}/*", "kafka.Kafka", "server.properties"]
    assert (libs / "kafka.jar").exists()
    assert (tmp_path / "programs" / "version").read_text() == f"{KAFKA_VERSION}\n"
    assert runner.listen_host == "127.0.0.1"


def test_jars_that_are_there_need_no_maven(install: Install, tmp_path: Path) -> None:
    install("java", JAVA)
    install("mvn", MAVEN)
    fetch_jars()
    (tmp_path / "programs" / "mvn").unlink()
    find_runner(tmp_path, 9092)


def test_two_at_once_fetch_the_jars_once(install: Install, tmp_path: Path) -> None:
    install("mvn", MAVEN)
    with ThreadPoolExecutor(4) as executor:
        found = set(executor.map(lambda _: fetch_jars(), range(4)))
    assert len(found) == 1
    assert count_fetches(tmp_path) == 1


def test_invalid_fetch_leaves_nothing_behind(install: Install, tmp_path: Path) -> None:
    """A half-filled folder would be taken for a whole one ever after."""
    install("mvn", MAVEN + "echo '[ERROR] no route to the repository'; exit 1")
    with pytest.raises(UsageError, match="no route to the repository"):
        fetch_jars()
    assert not list((tmp_path / "cache").rglob("*.jar"))
    install("mvn", MAVEN)
    assert (fetch_jars() / "kafka.jar").exists()


def test_docker_is_asked_first(install: Install, tmp_path: Path) -> None:
    install("docker", DOCKER)
    install("java", JAVA)
    runner = find_runner(tmp_path, 9092)
    command = runner.build_command("kafka.Kafka", "server.properties")
    assert command[:2] == ["docker", "run"]
    assert f"apache/kafka:{KAFKA_VERSION}" in command
    assert "127.0.0.1:9092:9092" in command
    assert runner.listen_host == "0.0.0.0"
    assert runner.container is not None


def test_docker_without_its_engine_does_not_count(install: Install, tmp_path: Path) -> None:
    install("docker", "exit 1")
    install("java", JAVA)
    install("mvn", MAVEN)
    assert find_runner(tmp_path, 9092).container is None
