"""Mistakes that a person makes with a run: told in one sentence, before anything is built on them."""

from __future__ import annotations

from pathlib import Path

import pytest

from flobc.cli.main import main

TINY = ["--task", "synthetic:parameters=50", "--trainers", "2", "--validators", "4", "--quiet"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    assert main(["run", "--dir", str(tmp_path / "run"), "--rounds", "3", *TINY]) == 0
    return tmp_path / "run"


def snapshot(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file() and path.name != "lock"}


def test_invalid_damaged_model_is_found_before_the_run_goes_on(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    newest = max((root / "models").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    data = bytearray(newest.read_bytes())
    data[-1] ^= 1
    newest.write_bytes(data)
    before = snapshot(root)
    assert main(["run", "--dir", str(root), "--rounds", "4", "--quiet"]) == 3
    assert "restore it" in capsys.readouterr().err
    assert snapshot(root) == before


def test_invalid_cut_log_is_found_before_the_run_goes_on(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    log = root / "log"
    log.write_bytes(log.read_bytes()[: log.stat().st_size // 3])
    before = snapshot(root)
    assert main(["run", "--dir", str(root), "--rounds", "4", "--quiet"]) == 3
    assert "log" in capsys.readouterr().err
    assert snapshot(root) == before


def test_invalid_fewer_rounds_than_blocks(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    before = snapshot(root)
    assert main(["run", "--dir", str(root), "--rounds", "2", "--quiet"]) == 2
    assert "3 blocks already" in capsys.readouterr().err
    assert snapshot(root) == before


def test_a_run_that_diverges_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Exit code 4: the chain stopped."""
    learning = ["--task", "synthetic", "--learning-rate", "1e30", "--optimizer", "sgd"]
    command = ["run", "--dir", str(tmp_path / "run"), "--rounds", "2", "--trainers", "2", "--quiet", *learning]
    assert main(command) == 4
    assert "lower the learning rate" in capsys.readouterr().err


def test_invalid_task_leaves_no_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was asked for was wrong from the first example on: the mended command may use the same name."""
    (tmp_path / "misfit.py").write_text(
        "from torch import nn\n"
        "from flobc.learning.tasks import get_task\n"
        "from flobc.learning.torch_task import TorchTask\n"
        "task = TorchTask('misfit', lambda: nn.Linear(3, 10), get_task('digits').load)\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    command = ["run", "--task", "misfit:task", "--dir", str(tmp_path / "run"), "--rounds", "1", "--quiet"]
    assert main(command) == 2
    assert "RuntimeError" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_closed_output_is_no_traceback(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdout", None)
    assert main(["status", str(root)]) == 0
