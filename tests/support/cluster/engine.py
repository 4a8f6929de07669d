"""A Docker engine for tests, and in it FLoBC's images, built as everybody builds them.

An engine that answers is taken (DOCKER_HOST says where), else one is started where ``dockerd`` is installed. An image
that nobody can fetch here, such as the Python that FLoBC's images begin with, is replaced by a stand-in from Debian's
packages.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tarfile
from dataclasses import dataclass
from pathlib import Path

from flobc import __version__
from flobc.composition.local.kafka_runner import KAFKA_VERSION, fetch_jars
from flobc.composition.local.process import DetachedProcess
from tests.support.cluster.binaries import get_cache
from tools.setup import find_cpu_wheel

ROOT = Path(__file__).resolve().parents[3]
STAND_INS = Path(__file__).with_name("images")
DEBIAN = "localhost/flobc-test/debian:bookworm"
BASES = {"python": "python:3.11-slim", "redis": "redis:8.2.2", "kafka": f"apache/kafka:{KAFKA_VERSION}"}
ROLES = ("ledger", "explorer", "validator", "trainer")
_START_S = 60
_CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")


@dataclass(frozen=True)
class Engine:
    """An engine that answers, by its client and the environment that this is started with."""

    client: str
    environment: dict[str, str]
    process: DetachedProcess | None

    def run(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run the client. **Raises** CalledProcessError with what it said when it fails."""
        command = [self.client, *arguments]
        done = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
        if check and done.returncode:
            raise subprocess.CalledProcessError(done.returncode, done.args, done.stdout, done.stderr[-2000:])
        return done

    def get_image_id(self, name: str) -> str:
        """An image's id; empty when the engine does not have it."""
        return self.run("image", "inspect", "--format", "{{.Id}}", name, check=False).stdout.strip()

    def build(self, file: Path, name: str, context: Path, *options: str) -> None:
        """Build an image and give it a name."""
        self.run("build", "--quiet", "--file", str(file), "--tag", name, *options, str(context))

    def stop(self) -> None:
        """Stop the engine if it was started here."""
        if self.process is not None:
            self.process.stop(30)


def find_engine() -> Engine | None:
    """An engine that answers, started if need be; None where there is neither."""
    client = _find_client()
    if client is None:
        return None
    environment = {**os.environ, "DOCKER_BUILDKIT": "1" if _can_build(client) else "0"}
    if _answers(client, environment):
        return Engine(client, environment, None)
    if shutil.which("dockerd") is None or os.geteuid() != 0:
        return None
    folder = get_cache() / "docker"
    folder.mkdir(parents=True, exist_ok=True)
    # a socket of its own: what else runs on this machine must not find an engine that is about to go
    environment["DOCKER_HOST"] = f"unix://{folder}/docker.sock"
    process = DetachedProcess("Docker", folder / "pid", folder / "docker.log")
    if process.pid is None:
        roots = [f"--data-root={folder}/data", f"--exec-root={folder}/run", f"--pidfile={folder}/docker.pid"]
        process.start(["dockerd", "--host", environment["DOCKER_HOST"], *roots])
    process.wait_until(lambda: _answers(client, environment), _START_S)
    return Engine(client, environment, process)


def build_images(engine: Engine) -> list[str]:
    """Build every image that a release needs, and return their names."""
    for name, image in BASES.items():
        if not engine.get_image_id(image) and engine.run("pull", "--quiet", image, check=False).returncode:
            _build_stand_in(engine, name, image)
    names = []
    # the trainer last: it and the validator share all but their topmost layers, whoever comes first
    for role in ROLES:
        names.append(f"flobc-{role}:{__version__}")
        engine.build(ROOT / "services" / role / "Dockerfile", names[-1], ROOT, *_choose_torch(role))
    return [*names, BASES["redis"], BASES["kafka"]]


def _find_client() -> str | None:
    """The first client on the path that can build with BuildKit, else the first one."""
    folders = os.environ.get("PATH", "").split(os.pathsep)
    clients = [found for folder in folders if (found := shutil.which("docker", path=folder))]
    return next((client for client in clients if _can_build(client)), clients[0] if clients else None)


def _can_build(client: str) -> bool:
    """Whether BuildKit is in the client, as before 23, or beside it."""
    said = subprocess.run([client, "--version"], capture_output=True, text=True, check=False).stdout
    found = re.search(r"version (\d+)\.", said)
    beside = subprocess.run([client, "buildx", "version"], capture_output=True, check=False).returncode == 0
    return beside or (found is not None and int(found[1]) < 23)


def _answers(client: str, environment: dict[str, str]) -> bool:
    asked = [client, "version", "--format", "{{.Server.Version}}"]
    return subprocess.run(asked, env=environment, capture_output=True, check=False).returncode == 0


def _choose_torch(role: str) -> list[str]:
    if role in ("ledger", "explorer"):
        return []
    locked = (ROOT / "requirements" / "torch.txt").read_text().partition("torch==")[2].split()[0]
    return [] if find_cpu_wheel(locked, []) else ["--build-arg", "TORCH=locked"]


def _build_stand_in(engine: Engine, name: str, image: str) -> None:
    folder = get_cache() / "stand-ins" / name
    folder.mkdir(parents=True, exist_ok=True)
    if not engine.get_image_id(DEBIAN):
        _build_debian(engine, folder.parent / "debian")
    if name == "python":
        shutil.copy(_CERTIFICATES, folder / _CERTIFICATES.name)
    if name == "kafka":
        shutil.copytree(fetch_jars(), folder / "libs", dirs_exist_ok=True)
    engine.build(STAND_INS / f"{name}.Dockerfile", image, folder)


def _build_debian(engine: Engine, folder: Path) -> None:
    root = folder / "root"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    subprocess.run(["debootstrap", "--variant=minbase", "bookworm", str(root)], check=True, capture_output=True)
    with tarfile.open(folder / "rootfs.tar", "w") as archive:
        archive.add(root, ".")
    shutil.rmtree(root)
    engine.build(STAND_INS / "base.Dockerfile", DEBIAN, folder)
