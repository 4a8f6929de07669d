"""``flobc ledger rebuild``: what it is told, before anything is reached or written."""

from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.local.ports import find_free_port
from flobc.protocol.encoding import encode
from tests.support.dialogue import build_genesis
from tests.support.small_chain import build_chain


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished run beside the genesis of another chain."""
    root = tmp_path_factory.mktemp("ledger")
    build_chain(root / "run", rounds=1)
    (root / "genesis").write_bytes(encode(build_genesis()))
    (root / "letter").write_text("mine")
    return root


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ("", "needs one source"),
        ("--from run --kafka x:1", "needs one source"),
        ("--kafka x:1", "give --genesis PATH"),
        ("--from x:1", "give --genesis PATH"),
        ("--from x:1,y:2", "give --genesis PATH"),
        ("--kafka x:1 --genesis genesis", "Kafka holds no models"),
        ("--kafka x:1 --genesis nowhere", "no usable genesis"),
        ("--from nowhere", "There is no "),
        ("--from letter", "is no chain's export"),
        ("--from run --genesis genesis", "not that of --genesis"),
        ("--form run", "did you mean '--from'?"),
    ],
)
def test_invalid_sources_are_named(
    place: Path, options: str, sentence: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    assert main(["ledger", "rebuild", *options.split(), "--redis", "127.0.0.1:1"]) == 2
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1


def test_a_redis_that_is_away_is_no_fault_of_the_person(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    address = f"127.0.0.1:{find_free_port()}"
    assert main(["ledger", "rebuild", "--from", str(place / "run"), "--redis", address]) == 4
    assert f"Redis at {address} cannot be used now" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["genesis new", "genesis add", "genesis seal", "invite", "join", "doctor"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*command.split(), "--help"]) == 0
    assert f"example: flobc {command} " in " ".join(capsys.readouterr().out.split())
    assert main(["ledger", "rebuild", "--help"]) == 0
    assert "example: flobc ledger rebuild --from" in " ".join(capsys.readouterr().out.split())
