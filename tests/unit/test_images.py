"""What the images are built from: pinned to the common lock file, and present in the builder's context."""

import re
import tomllib
from pathlib import Path

import pytest

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
    declared = project["dependencies"] + (project["optional-dependencies"]["explorer"] if part == "explorer" else [])
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
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    for line in re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", text):
        for source in line.split():
            assert (ROOT / source).exists(), source
            assert f"!{source.split('/')[0]}" in ignored, source
