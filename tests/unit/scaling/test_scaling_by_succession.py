"""Another number of validators: what may be asked for together, and what Helm is told."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest

from flobc.adapters.kubernetes import HelmRelease
from flobc.cli.main import main
from flobc.composition.local.plan import Plan, save_plan
from flobc.composition.local.succeeding import FOLDER, succeed_system
from flobc.composition.local.system import create_system
from flobc.composition.settings import RunSettings
from flobc.errors import UsageError

HELM = """#!/bin/sh
echo "$@" > {said}
case "$*" in *replicas=9*) echo "validators.replicas is 9, but ..." >&2; exit 1;; esac
"""


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (["--trainers", "3", "--dir", "chain", "--successor", "next"], "give --validators N, and no --trainers"),
        (["--validators", "3", "--successor", "next"], "give --dir with it"),
        (["--validators", "3", "--release", "lab", "--successor", "next"], "give --dir with it"),
        (["--validators", "3", "--dir", "chain", "--chart", "charts/flobc"], "give --release with it"),
    ],
)
def test_invalid_mixes_say_what_goes_together(given: list[str], words: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["scale", *given]) == 2
    assert words in capsys.readouterr().err


@pytest.fixture
def said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A program ``helm`` alone on the PATH, and the file with what it was last told."""
    programs, file = tmp_path / "bin", tmp_path / "said"
    programs.mkdir()
    (programs / "helm").write_text(HELM.format(said=file))
    (programs / "helm").chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:/usr/bin:/bin")
    return file


def test_helm_is_told_the_number_and_keeps_all_other_values(said: Path) -> None:
    HelmRelease("charts/flobc", "lab", "prod", context="there").upgrade({"validators.replicas": "7"}, 90)
    words = said.read_text().split()
    assert words[:3] == ["upgrade", "lab", "charts/flobc"]
    assert "--reset-then-reuse-values" in words
    pairs = set(itertools.pairwise(words))
    assert {("--namespace", "prod"), ("--kube-context", "there"), ("--set", "validators.replicas=7")} <= pairs
    assert "--kubeconfig" not in words


def test_invalid_what_helm_refuses_is_said_in_its_own_words(said: Path) -> None:
    with pytest.raises(UsageError, match=r"failed: validators\.replicas is 9, but"):
        HelmRelease("charts/flobc", "lab", "prod").upgrade({"validators.replicas": "9"}, 90)
    assert said.exists()


def test_invalid_without_helm_nothing_is_tried(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(UsageError, match="no helm on the PATH"):
        HelmRelease("charts/flobc", "lab", "prod").upgrade({}, 90)


def test_invalid_validators_that_never_sealed_are_left_alone(tmp_path: Path) -> None:
    """CHAIN-14: none of them could approve, so none is stopped and no plan is made."""
    root = tmp_path / "chain"
    create_system(root, RunSettings(task="synthetic:examples=100,parameters=10", trainers=2, validators=4), 1)
    save_plan(root, Plan("127.0.0.1:1", "127.0.0.1:2", ("127.0.0.1:3",), ("127.0.0.1:4",) * 4, 2))
    with pytest.raises(UsageError, match=r"3 of the 4 validators .* must approve a successor, and 0 have sealed"):
        succeed_system(root, tmp_path / "next", 5, lambda _: None)
    assert not (root / FOLDER).exists()
