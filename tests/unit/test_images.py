"""What the images are built from: pinned to the common lock file, and present in the builder's context."""

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
ROLES = ("trainer", "validator", "ledger", "explorer")


def read_pins(name: str) -> dict[str, str]:
    """Each requirement with its hashes, by the line it begins with."""
    text = (ROOT / "requirements" / f"{name}.txt").read_text()
    blocks = re.split(r"(?m)^(?=[a-z])", text)[1:]
    return {block.splitlines()[0]: block for block in blocks}


@pytest.mark.parametrize("part", ["learner", "ledger", "explorer"])
def test_an_image_s_lock_file_is_a_part_of_the_whole(part: str) -> None:
    whole, pins = read_pins("lock"), read_pins(part)
    assert pins
    assert all(whole[first] == block for first, block in pins.items())


@pytest.mark.parametrize("part", ["ledger", "explorer"])
def test_an_image_without_torch_has_nothing_that_is_not_declared(part: str) -> None:
    names = {first.partition("==")[0] for first in read_pins(part)}
    assert names.isdisjoint({"torch", "triton", "scikit-learn", "scipy"})
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extra = {"explorer": "explorer", "ledger": "tracing"}[part]
    declared = project["dependencies"] + project["optional-dependencies"][extra]
    known = {re.split(r"[<>=\[]", item)[0] for item in declared} | {"hiredis"}
    asked = {line for line in (ROOT / "requirements" / f"{part}.in").read_text().split("\n") if line[:1].isalpha()}
    assert asked <= known


@pytest.mark.parametrize("role", ROLES)
def test_a_dockerfile_keeps_the_rules(role: str) -> None:
    text = (ROOT / "services" / role / "Dockerfile").read_text()
    assert re.search(r"(?m)^ARG BASE=python:3\.11-slim$", text)
    assert re.search(r"(?m)^USER 10001:10001$", text)
    assert f'ENTRYPOINT ["python", "-m", "services.{role}.main"]' in text
    assert "HEALTHCHECK" not in text
    assert ("torch" in text.replace("No torch", "")) is (role in ("trainer", "validator"))
    assert "--require-hashes" in text
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", text):
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in ignored, source


def test_a_trainer_and_a_validator_share_every_layer_but_their_own_files() -> None:
    trainer, validator = ((ROOT / "services" / role / "Dockerfile").read_text() for role in ("trainer", "validator"))
    shared, _, own = trainer.partition("# From here on the images of the two roles differ.\n")
    assert own
    _, _, after_names = shared.partition("\n")  # the first line tells how this very image is built
    assert after_names in validator
    assert re.findall(r"(?m)^(?:RUN|FROM) .*", own) == []


@pytest.mark.parametrize("role", ROLES)
def test_hadolint_has_nothing_to_say(role: str) -> None:
    linter = shutil.which("hadolint", path=str(Path(sys.executable).parent))
    if linter is None:
        pytest.skip("hadolint is not installed; make setup does it")
    run = subprocess.run(
        [linter, str(ROOT / "services" / role / "Dockerfile")], capture_output=True, text=True, check=False
    )
    assert (run.returncode, run.stdout) == (0, "")


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = yaml.safe_load((ROOT / "compose.yaml").read_text())["services"]
    return found


def test_every_container_of_the_compose_file_is_restricted(services: dict[str, dict[str, Any]]) -> None:
    assert len([name for name in services if name.startswith("validator-")]) == 4
    for name, service in services.items():
        assert service["read_only"] is True, name
        assert service["cap_drop"] == ["ALL"], name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ())), name


def test_no_container_of_the_compose_file_sees_the_volume_of_another_role(services: dict[str, dict[str, Any]]) -> None:
    mounts = [
        (volume.partition(":")[0], name)
        for name, service in services.items()
        for volume in service.get("volumes", ())
        if volume[0] not in "./" and not volume.startswith("chain:")
    ]
    volumes = [volume for volume, _ in mounts]
    assert sorted(volumes) == sorted(set(volumes))


def test_the_servers_of_the_compose_file_are_those_of_the_chart(services: dict[str, dict[str, Any]]) -> None:
    values = yaml.safe_load((ROOT / "charts" / "flobc" / "values.yaml").read_text())
    for server in ("kafka", "redis"):
        given = values[server].get("bundled", values[server])["image"]
        assert services[server]["image"] == f"${{{server.upper()}_IMAGE:-{given}}}"
