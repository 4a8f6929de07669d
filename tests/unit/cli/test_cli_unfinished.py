"""Which run ``flobc run`` goes on with when no directory is given."""

from __future__ import annotations

from pathlib import Path

import pytest

from flobc.cli.output import Talk
from flobc.cli.places import claim_run
from flobc.cli.run import find_unfinished
from flobc.composition.genesis import build_federation
from flobc.composition.run_directory import save_beginning
from flobc.composition.settings import RunSettings
from flobc.learning.tasks import get_task

SETTINGS = RunSettings(task="synthetic:parameters=10", trainers=1, validators=1, rounds=2)


def test_a_run_that_this_release_cannot_read_is_no_hindrance(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    root = claim_run(SETTINGS.task)
    genesis = build_federation(SETTINGS, get_task(SETTINGS.task)).genesis
    save_beginning(root, SETTINGS, genesis)
    (root / "blocks").mkdir(exist_ok=True)
    assert find_unfinished(SETTINGS, Talk(quiet=False)) == root
    (root / "genesis").write_bytes((root / "genesis").read_bytes()[:-1])
    capsys.readouterr()
    assert find_unfinished(SETTINGS, Talk(quiet=False)) is None
    said = capsys.readouterr().err
    assert str(root) in said
    assert "A new run begins." in said
