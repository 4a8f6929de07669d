"""What Kafka's own classes can be run with on this machine: a Docker engine, or Java and jars that Maven fetches."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from flobc.composition.local.cache import get_cache
from flobc.errors import UsageError

KAFKA_VERSION = "4.1.1"
_IMAGE = f"apache/kafka:{KAFKA_VERSION}"
_POM = Path(__file__).with_name("pom.xml")
_MIN_JAVA = 17
_ASK_TIMEOUT_S = 20
_FETCH_TIMEOUT_S = 900
# One node with a chain's few topics; the serial collector keeps it under 600 MiB and off the other core.
# The quick compiler alone: a broker that runs for minutes spends more on the thorough one than it ever gains.
_JVM_OPTIONS = ("-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1")


@dataclass(frozen=True)
class Runner:
    """How to run one of Kafka's classes, and on which address of its network it has to listen."""

    program: tuple[str, ...]
    listen_host: str
    container: str | None = None

    def build_command(self, main_class: str, *arguments: str) -> list[str]:
        """Return the command that runs a class with these arguments."""
        return [*self.program, main_class, *arguments]

    def kill(self) -> None:
        """End the container at once, if there is one: killing the command that waits for it does not."""
        if self.container is not None:
            _ask("docker", "kill", self.container)


def find_runner(directory: Path, port: int) -> Runner:
    """Return what runs Kafka here, for data in ``directory`` and clients at ``port``; may fetch Kafka once.

    **Raises** UsageError when this machine has neither a Docker engine nor Java 17 and Maven.
    """
    if _is_docker_ready():
        return _build_docker_runner(directory, port)
    if read_java_version() >= _MIN_JAVA and (_find_jars() or shutil.which("mvn")):
        program = ("java", *_JVM_OPTIONS, "-cp", f"{fetch_jars()}/*")
        return Runner(program, "127.0.0.1")
    raise UsageError(
        f"Kafka needs a running Docker engine, or Java {_MIN_JAVA} and Maven, and none was found: "
        f"install them (Debian, Ubuntu: sudo apt install openjdk-17-jre-headless maven) and try again."
    )


def read_java_version() -> int:
    """Return the major version of the Java on the path; 0 when there is none."""
    found = re.search(r'version "(\d+)', _ask("java", "-version"))
    return int(found[1]) if found else 0


def fetch_jars() -> Path:
    """Return the folder of Kafka's jars, fetched by Maven (60 MB) if nobody has before.

    **Raises** UsageError when they cannot be fetched.
    """
    cache = _get_cache()
    cache.parent.mkdir(parents=True, exist_ok=True)
    with cache.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # a second one waits for the first one's jars
        found = _find_jars()
        return found or _fetch_jars_into(cache)


def _fetch_jars_into(cache: Path) -> Path:
    with tempfile.TemporaryDirectory(dir=cache.parent, prefix=f"{cache.name}-") as folder:
        command = ["mvn", "-q", "-B", "-f", str(_POM), f"-Dkafka.version={KAFKA_VERSION}", "-DincludeScope=runtime"]
        command += [f"-DoutputDirectory={folder}/new/libs", "dependency:copy-dependencies"]
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=_FETCH_TIMEOUT_S, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UsageError(f"Cannot fetch Kafka with Maven: {error}; check the network and try again.") from error
        if run.returncode:
            first = next(iter((run.stdout + run.stderr).strip().splitlines()), f"exit status {run.returncode}")
            raise UsageError(f"Cannot fetch Kafka with Maven: {first}; check the network and try again.")
        Path(folder, "new").rename(cache)  # at once: a half-filled folder is never taken for a whole one
    return cache / "libs"


def _find_jars() -> Path | None:
    libs = _get_cache() / "libs"
    return libs if libs.is_dir() else None


def _get_cache() -> Path:
    return get_cache() / f"kafka-{KAFKA_VERSION}"


def _is_docker_ready() -> bool:
    if not shutil.which("docker") or not _ask("docker", "info", "--format", "{{.ServerVersion}}").strip():
        return False
    return bool(_ask("docker", "image", "inspect", "--format", "{{.Id}}", _IMAGE).strip()) or bool(
        _ask("docker", "pull", "--quiet", _IMAGE, timeout_s=_FETCH_TIMEOUT_S).strip()
    )


def _build_docker_runner(directory: Path, port: int) -> Runner:
    name = f"flobc-kafka-{port}"
    program = ["docker", "run", "--rm", "--name", name, "--user", f"{os.getuid()}:{os.getgid()}"]
    program += ["-v", f"{directory}:{directory}", "-p", f"127.0.0.1:{port}:{port}", "--entrypoint", "java", _IMAGE]
    return Runner((*program, *_JVM_OPTIONS, "-cp", "/opt/kafka/libs/*"), "0.0.0.0", name)


def _ask(*command: str, timeout_s: float = _ASK_TIMEOUT_S) -> str:
    """What a command says; empty when it fails (java prints its version on stderr)."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return "" if run.returncode else run.stdout + run.stderr
