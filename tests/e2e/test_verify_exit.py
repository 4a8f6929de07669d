"""``flobc verify`` ends with 0 only if nothing that was asked for was skipped; else one sentence says why."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.archive import export_chain, open_archive
from flobc.composition.run_directory import load_genesis
from flobc.protocol.params import get_chain_id
from tests.support import small_chain as chain


def cut_log(root: Path) -> None:
    chain.write_records(root, chain.read_records(root)[: chain.find_commit(root, 2) + 1])


def drop_payload(root: Path) -> None:
    chain.get_payload_path(root, 2).unlink()


def change_score(root: Path) -> None:
    chain.change_block(root, 2, chain.change_score)


def remove_genesis(root: Path) -> None:
    (root / "genesis").unlink()


def leave(root: Path) -> None:
    assert root.is_dir()


CASES: list[tuple[Callable[[Path], None], list[str], int, str]] = [
    (leave, [], 0, ""),
    (leave, ["--full"], 0, ""),
    (drop_payload, [], 0, ""),
    (drop_payload, ["--full"], 3, "the updates of block 2 are not held"),
    (cut_log, [], 3, "the log does not reach block 3"),
    (cut_log, ["--full"], 3, "the log does not reach block 3"),
    (change_score, [], 3, "height 2 breaks CHAIN-7"),
    (remove_genesis, [], 2, "There is no run"),
]


@pytest.mark.parametrize(("damage", "options", "code", "words"), CASES)
def test_exit_code(
    small_chain: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
    options: list[str],
    code: int,
    words: str,
) -> None:
    root = chain.copy_chain(small_chain, tmp_path / "run")
    damage(root)
    assert main(["verify", str(root), *options]) == code
    spoken = capsys.readouterr()
    assert words in spoken.err
    assert bool(spoken.out) == (code == 0)


def test_export_without_payloads_asks_too_much_of_full(
    small_chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "chain.zip"
    export_chain(open_archive(small_chain), out, payloads=False)
    assert main(["verify", str(out)]) == 0
    assert main(["verify", str(out), "--full"]) == 3
    assert "3 blocks from 1 to 3" in capsys.readouterr().err


def test_a_chain_can_be_asked_for_by_its_id(
    small_chain: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """CHAIN-1: an archive brings its own genesis, so one that somebody made up holds as well as the right one."""
    other = chain.build_chain(tmp_path / "other", seed=99, rounds=1)
    wanted = get_chain_id(load_genesis(small_chain)).hex()
    assert main(["verify", str(small_chain), "--chain", wanted, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["chain"] == wanted
    assert main(["verify", str(other)]) == 0
    assert wanted not in capsys.readouterr().out
    assert main(["verify", str(other), "--chain", wanted]) == 3
    assert "CHAIN-1" in capsys.readouterr().err
    assert main(["verify", str(small_chain), "--chain", wanted[:16]]) == 2
    assert "64 hex digits" in capsys.readouterr().err
