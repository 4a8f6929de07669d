"""What a chain begins with can be made without starting it."""

import json
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FileModels
from flobc.adapters.filesystem.keys import create_key_file, load_key_file
from flobc.cli.main import main
from flobc.composition.run_directory import load_genesis, load_settings
from flobc.protocol.params import get_chain_id

SMALL = ["--task", "synthetic", "--trainers", "3", "--validators", "4", "--seed", "7", "--quiet"]


def test_genesis_keys_and_first_model_belong_together(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "chain"
    assert main(["genesis", "new", "--dir", str(root), *SMALL, "--json"]) == 0
    made = json.loads(capsys.readouterr().out)
    genesis = load_genesis(root)
    assert made["chain"] == get_chain_id(genesis).hex()
    for role, enrolled in (("trainer", genesis.trainers), ("validator", genesis.validators)):
        keys = [load_key_file(root / "nodes" / f"{role}-{index}" / "key") for index in range(len(enrolled))]
        assert sorted(key.public_key for key in keys) == list(enrolled)
        assert len(enrolled) == made[f"{role}s"]
    assert FileModels(root / "initial").get(genesis.initial_model) is not None
    settings = load_settings(root, genesis.params)
    assert (settings.task, settings.trainers, settings.seed) == ("synthetic", 3, 7)
    assert not (root / "system.json").exists()


def test_keys_that_are_there_are_enrolled_and_give_the_same_chain(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    chains = []
    keys = {}
    for name in ("first", "again"):
        for role, count in (("trainer", 3), ("validator", 4)):
            for index in range(count):
                path = tmp_path / name / "nodes" / f"{role}-{index}" / "key"
                path.parent.mkdir(parents=True)
                if name == "first":
                    create_key_file(path)
                    keys[role, index] = path.read_bytes()
                else:
                    path.write_bytes(keys[role, index])
        assert main(["genesis", "new", "--dir", str(tmp_path / name), *SMALL]) == 0
        chains.append(capsys.readouterr().out)
    assert chains[0] == chains[1]
    assert (tmp_path / "again" / "nodes" / "trainer-2" / "key").read_bytes() == keys["trainer", 2]


def test_invalid_a_chain_is_never_overwritten(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "chain"
    assert main(["genesis", "new", "--dir", str(root), *SMALL]) == 0
    before = (root / "genesis").read_bytes()
    assert main(["genesis", "new", "--dir", str(root), *SMALL]) == 2
    assert "holds a chain already" in capsys.readouterr().err
    assert (root / "genesis").read_bytes() == before


def test_invalid_a_directory_with_other_things_is_left_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    assert main(["genesis", "new", "--dir", str(tmp_path), *SMALL]) == 2
    assert "is not empty" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]
