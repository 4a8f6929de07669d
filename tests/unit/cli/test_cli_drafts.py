"""Several parties make one genesis from a draft: public keys only, in any order, and everybody gets the same chain."""

import json
from itertools import permutations
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FileModels
from flobc.adapters.filesystem.keys import create_key_file
from flobc.cli.main import main
from flobc.composition.run_directory import load_genesis
from flobc.protocol.params import get_chain_id
from tests.support.dialogue import identity

TASK = ["--task", "synthetic:examples=50", "--quiet"]
VALIDATORS = tuple(identity("v", index).public_key.hex() for index in range(3))
TRAINER, OPERATOR = identity("t").public_key.hex(), identity("o").public_key.hex()


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    path = tmp_path / "chain.json"
    assert main(["genesis", "new", "--draft", str(path), *TASK, "--admission", "invite", "--max-trainers", "9"]) == 0
    return path


def add(path: Path, *options: str) -> int:
    return main(["genesis", "add", str(path), *options, "--quiet"])


def complete(path: Path) -> None:
    keys = [option for key in VALIDATORS for option in ("--validator", key)]
    assert add(path, *keys, "--trainer", TRAINER, "--operator", OPERATOR) == 0


def show(path: Path, capsys: pytest.CaptureFixture[str], *options: str) -> dict[str, object]:
    capsys.readouterr()
    assert main(["genesis", "show", str(path), "--json", *options]) == 0
    shown: dict[str, object] = json.loads(capsys.readouterr().out)
    return shown


def test_the_order_of_adding_and_who_seals_change_nothing(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    empty = draft.read_bytes()
    chains = set()
    for number, order in enumerate(permutations((*VALIDATORS[:2], TRAINER))):
        draft.write_bytes(empty)
        for key in order:
            assert add(draft, "--trainer" if key == TRAINER else "--validator", key) == 0
        assert add(draft, "--operator", OPERATOR) == 0
        root = draft.parent / f"sealed-{number}"
        assert main(["genesis", "seal", str(draft), "--dir", str(root), "--quiet"]) == 0
        chains.add(show(root, capsys)["chain"])
        assert FileModels(root / "initial").get(load_genesis(root).initial_model) is not None
        assert not (root / "nodes").exists(), "no key is made for anybody"
    assert len(chains) == 1


def test_show_tells_the_same_of_draft_and_chain_but_the_id(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complete(draft)
    before = show(draft, capsys)
    root = draft.parent / "chain"
    assert main(["genesis", "seal", str(draft), "--dir", str(root), "--json"]) == 0
    after = show(root, capsys)
    assert after["chain"] == get_chain_id(load_genesis(root)).hex()
    assert {**after, "chain": None, "sealed": False, "name": before["name"]} == before
    assert (after["validator_count"], after["quorum"], after["fault_tolerance"]) == (3, 3, 0)
    assert (after["admission"], after["operator"], after["max_trainers"]) == ("invite", OPERATOR, 9)
    assert show(root / "genesis", capsys) == after


def test_show_says_which_member_a_key_is(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = draft.parent / "key"
    public = create_key_file(key).public_key.hex()
    complete(draft)
    assert show(draft, capsys, "--key", str(key))["own_role"] is None
    (draft.parent / "key.pub").write_text(public + "\n")
    assert add(draft, "--trainer", str(draft.parent / "key.pub")) == 0
    assert show(draft, capsys, "--key", str(key))["own_role"] == "trainer"
    assert main(["genesis", "show", str(draft), "--key", str(key)]) == 0
    out = capsys.readouterr().out
    assert f"Your key {public[:8]} is trainer of this chain." in out
    assert OPERATOR in out


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        (("--validator", "abc"), "--validator must be a public key of 64 hex digits or a file that holds one"),
        (("--validator", "0" * 64), "no usable key"),
        (("--trainer", VALIDATORS[0]), "is a validator of the draft already"),
        (("--trainer", TRAINER), "is a trainer of the draft already"),
        (("--operator", TRAINER), "has the operator"),
        (("--trainer", "key"), "is a secret key"),
        (("--trainer", "letter"), "holds no public key"),
        ((), "needs a key"),
    ],
)
def test_invalid_keys_leave_the_draft_as_it_was(
    draft: Path,
    options: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(draft.parent)
    create_key_file(Path("key"))
    Path("letter").write_text("dear sir")
    complete(draft)
    before = draft.read_bytes()
    good = identity("good").public_key.hex()
    assert add(draft, *options, *(("--validator", good) if options else ())) == 2
    error = capsys.readouterr().err
    assert error.startswith("flobc: ")
    assert sentence in error
    assert error.count("\n") == 1
    assert draft.read_bytes() == before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"version": 1', '"version": 2'),
        ('"scheme": "bsp"', '"scheme": "best"'),
        ('"quota": 3', '"quota": "3"'),
        ('"quota": 3', '"quota": true'),
        ('"quota": 3', '"quote": 3'),
        ('"seed": 0', '"seed": -1'),
        ('"task": "', '"tusk": "'),
        ('"trainers": [', '"trainers": ["00",'),
        ("{", "["),
    ],
)
def test_invalid_a_draft_that_was_changed_to_nonsense(
    draft: Path, old: str, new: str, capsys: pytest.CaptureFixture[str]
) -> None:
    text = draft.read_text()
    assert old in text
    draft.write_text(text.replace(old, new, 1))
    root = draft.parent / "chain"
    assert main(["genesis", "seal", str(draft), "--dir", str(root)]) == 2
    assert capsys.readouterr().err.startswith("flobc: ")
    assert not root.exists()


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        (("--trainer", TRAINER, "--operator", OPERATOR), "at least one validator"),
        (("--validator", VALIDATORS[0], "--operator", OPERATOR), "add one trainer at least"),
        (("--validator", VALIDATORS[0], "--trainer", TRAINER), "needs the operator's key"),
    ],
)
def test_invalid_a_draft_without_its_members_is_not_sealed(
    draft: Path, keys: tuple[str, ...], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """CHAIN-2, CHAIN-9: and nothing is written."""
    assert add(draft, *keys) == 0
    root = draft.parent / "chain"
    assert main(["genesis", "seal", str(draft), "--dir", str(root)]) == 2
    assert sentence in capsys.readouterr().err
    assert not root.exists()


def test_invalid_a_machine_that_makes_another_first_model_does_not_seal(
    draft: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    complete(draft)
    data = json.loads(draft.read_text())
    draft.write_text(json.dumps({**data, "initial_model": "ab" * 32}))
    assert main(["genesis", "seal", str(draft), "--dir", str(draft.parent / "chain")]) == 2
    assert "seal it there and pass the directory on" in capsys.readouterr().err
    assert not (draft.parent / "chain").exists()


def test_invalid_nothing_is_overwritten(draft: Path, capsys: pytest.CaptureFixture[str]) -> None:
    complete(draft)
    root = draft.parent / "chain"
    assert main(["genesis", "seal", str(draft), "--dir", str(root), "--quiet"]) == 0
    before = (root / "genesis").read_bytes()
    assert main(["genesis", "seal", str(draft), "--dir", str(root)]) == 2
    assert "holds a chain already" in capsys.readouterr().err
    assert (root / "genesis").read_bytes() == before
    assert main(["genesis", "new", "--draft", str(draft), *TASK]) == 2
    assert "never overwritten" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ((), "needs --dir DIR (all keys here) or --draft FILE"),
        (("--dir", "a", "--draft", "b"), "needs --dir DIR (all keys here) or --draft FILE"),
        (("--draft", "b", "--trainers", "3"), "--trainers does not go with --draft"),
        (("--draft", "b", "--admission", "invited"), "did you mean 'invite'?"),
        (("--dir", "a", "--admission", "invite"), "add --operator KEY"),
    ],
)
def test_invalid_options_of_a_beginning(
    tmp_path: Path,
    options: tuple[str, ...],
    sentence: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["genesis", "new", *TASK, *options]) == 2
    assert sentence in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
