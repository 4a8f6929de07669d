"""PATH may be ledgers' addresses; what does not go with them is one sentence."""

from __future__ import annotations

from pathlib import Path

import pytest

from flobc.cli.archives import read_addresses
from flobc.cli.commands import build_parser
from flobc.cli.main import EXIT_USAGE, main
from flobc.cli.parser import parse


@pytest.mark.parametrize(
    ("path", "addresses"),
    [
        ("ledger-0:7000", ("ledger-0:7000",)),
        ("a.example:1,[::1]:2", ("a.example:1", "[::1]:2")),
        ("chain", ()),
        ("chain/a:1", ()),
        ("a:1,", ()),
        ("there:1", ()),
    ],
)
def test_addresses_are_told_from_paths(
    path: str, addresses: tuple[str, ...], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lies on the disk under such a name is a path."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "there:1").mkdir()
    assert read_addresses(parse(build_parser(), ["status", path])) == addresses


@pytest.mark.parametrize(
    ("command", "words"),
    [
        (["status", "chain", "--tls-ca", "ca"], "give their address"),
        (["blocks", "ledger:7000", "--tls-ca", "ca", "--tls-key", "key"], "--tls-certificate is missing"),
        (["verify", "ledger:7000", "--tls-ca", "ca", "--tls-certificate", "c", "--tls-key", "k"], "cannot be read"),
        (["status", "ledger:7000", "--dir", "chain"], "give one of"),
    ],
)
def test_what_does_not_go_with_an_address(
    command: list[str], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(command) == EXIT_USAGE
    said = capsys.readouterr().err
    assert said.startswith("flobc: ")
    assert said.count("\n") == 1
    assert words in said
