"""``flobc report`` of a run that never tested its model."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.runner import run


def test_a_run_without_tests_has_a_dash_for_its_accuracy(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "run"
    run(task="synthetic:examples=200", trainers=2, validators=1, rounds=1, directory=root)
    (root / "rounds.jsonl").unlink()
    assert main(["report", str(root), "--quiet"]) == 0
    fields = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.replace("t a", "t_a").splitlines())
    assert fields["test_accuracy"] == "-"
    page = (root / "report" / "report.md").read_text()
    assert "None" not in page
    assert "No update was rejected." in page
    assert main(["report", str(root), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["test_accuracy"] is None
