"""Key files: drawn once, readable by their owner alone, and never shown."""

import json
import os
from pathlib import Path

import pytest

from flobc.adapters.filesystem.keys import load_key_file
from flobc.cli.main import main


def test_a_new_key_is_private_and_its_public_half_is_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "trainer.key"
    before = os.umask(0o777)
    try:
        assert main(["keys", "new", str(path)]) == 0
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o600
    out, err = capsys.readouterr()
    assert bytes.fromhex(out.strip()) == load_key_file(path).public_key
    secret = path.read_text().strip().rpartition(":")[2]
    assert secret not in out + err


def test_show_prints_the_same_key_and_warns_of_readers(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "trainer.key"
    assert main(["keys", "new", str(path), "--json", "--quiet"]) == 0
    made = json.loads(capsys.readouterr().out)
    path.chmod(0o644)
    assert main(["keys", "show", str(path), "--json"]) == 0
    out, err = capsys.readouterr()
    assert json.loads(out) == made
    assert f"chmod 600 {path}" in err
    assert path.read_text().strip().rpartition(":")[2] not in out + err


def test_two_keys_differ(tmp_path: Path) -> None:
    for name in ("a", "b"):
        assert main(["keys", "new", str(tmp_path / name), "--quiet"]) == 0
    assert load_key_file(tmp_path / "a").public_key != load_key_file(tmp_path / "b").public_key
