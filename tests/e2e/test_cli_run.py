"""The program as a person meets it: runs that are stopped, extended, looked at, exported and verified.

What signals and pipes do is tested on processes; the rest calls the program in this one, as loading torch
takes longer than the runs.
"""

import json
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flobc.cli.main import main

PROGRAM = [sys.executable, "-m", "flobc.cli.main"]
ROUNDS = 3
OPTIONS = ["--task", "digits:mlp", "--trainers", "3", "--rounds", str(ROUNDS), "--seed", "4"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The JSON of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("straight") / "run"
    done = subprocess.run(
        [*PROGRAM, "run", *OPTIONS, "--dir", str(root), "--json"], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1
    data: dict[str, Any] = json.loads(done.stdout)
    data["stderr"] = done.stderr
    return data


@dataclass(frozen=True)
class Answer:
    """What a command gave back."""

    code: int
    out: str
    err: str

    @property
    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.out)
        return found


Call = Callable[..., Answer]


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str], home: Path) -> Call:
    def call_main(*arguments: str) -> Answer:
        capsys.readouterr()
        code = main(arguments)
        return Answer(code, *capsys.readouterr())

    return call_main


def signalled(arguments: list[str], number: signal.Signals, line: str) -> tuple[int, str]:
    """Run until ``line`` shows on stderr, send the signal, and return exit code and stderr."""
    with subprocess.Popen([*PROGRAM, *arguments], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr
        said = []
        for said_line in process.stderr:
            said.append(said_line)
            if said_line.startswith(line):
                process.send_signal(number)
        return process.wait(), "".join(said)


def test_a_run_says_how_it_ended(straight: dict[str, Any]) -> None:
    assert straight["height"] == ROUNDS
    assert straight["verified"] is True
    assert straight["seed"] == 4
    assert straight["accepted"] == 3 * ROUNDS
    assert straight["rejected"] == 0
    assert straight["test_accuracy"] > 0.5
    assert list(straight["accuracy_by_height"]) == [str(height) for height in range(ROUNDS + 1)]
    assert len(straight["trust"]) == 3
    assert straight["stderr"].count("round ") == ROUNDS
    assert "\x1b" not in straight["stderr"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGKILL, -9)], ids=["SIGINT", "SIGKILL"])
def test_a_stopped_run_goes_on_to_the_same_head(
    number: signal.Signals, code: int, straight: dict[str, Any], call: Call, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    found, said = signalled(["run", *OPTIONS, "--dir", str(root)], number, "round 1/")
    assert found == code
    if code > 0:
        assert f"go on with: flobc run --dir {root}" in said
    done = call("run", *OPTIONS, "--dir", str(root), "--json")
    assert done.code == 0, done.err
    data = done.data
    assert "Traceback" not in said + done.err
    for key in ("height", "head", "test_accuracy", "accuracy_by_height", "accepted", "trust", "verified"):
        assert data[key] == straight[key], key


def test_looking_at_a_finished_run(straight: dict[str, Any], call: Call) -> None:
    root = straight["directory"]
    status = call("status", "--dir", root, "--json").data
    assert status["height"] == ROUNDS
    assert status["head"] == straight["head"]
    assert status["test_accuracy"] == straight["test_accuracy"]
    assert status["running"] is False

    lines = call("blocks", root, "--json").out.splitlines()
    blocks = [json.loads(line) for line in lines]
    assert [block["height"] for block in blocks] == list(range(1, ROUNDS + 1))
    assert [block["header"] for block in blocks[:-1]] == [block["parent"] for block in blocks[1:]]
    assert blocks[-1]["header"] == straight["head"]
    assert "accepted" in call("blocks", root, "--height", "2").out

    verified = call("verify", root, "--full", "--json")
    assert verified.code == 0, verified.err
    report = json.loads(verified.out)
    assert report["verified"] is True
    assert report["head"] == straight["head"]


def test_exports_are_verified_and_damage_is_named(straight: dict[str, Any], call: Call, tmp_path: Path) -> None:
    root, chain, model = straight["directory"], tmp_path / "chain.zip", tmp_path / "model.safetensors"
    assert call("export", "chain", root, "--out", str(chain), "--quiet").code == 0
    exported = call("export", "model", "--dir", root, "--out", str(model), "--json").data
    assert exported["height"] == ROUNDS
    assert exported["header_digest"] == straight["head"]
    verified = call("verify", str(chain), "--full")
    assert verified.code == 0, verified.err
    assert straight["head"] in verified.out
    assert call("status", str(chain), "--json").data["height"] == ROUNDS

    damaged = tmp_path / "damaged"
    shutil.copytree(root, damaged)
    block = damaged / "blocks" / "00000002.block"
    data = bytearray(block.read_bytes())
    data[len(data) // 2] ^= 1
    block.write_bytes(data)
    broken = call("verify", str(damaged), "--json")
    assert broken.code == 3
    assert broken.err.startswith("flobc: height 2 breaks ")
    assert broken.err.count("\n") == 1
    assert json.loads(broken.out)["verified"] is False

    bare = tmp_path / "bare.zip"
    assert call("export", "chain", root, "--out", str(bare), "--no-payloads").code == 0
    assert call("verify", str(bare)).code == 0
    incomplete = call("verify", str(bare), "--full")
    assert incomplete.code == 3
    assert f"{ROUNDS} blocks from 1 to {ROUNDS}" in incomplete.err


def test_a_finished_run_is_extended_or_left_alone(call: Call, tmp_path: Path) -> None:
    options = ["--task", "synthetic:examples=200", "--trainers", "2", "--validators", "1", "--dir", str(tmp_path / "r")]
    first = call("run", *options, "--rounds", "1")
    assert first.code == 0
    assert "1 validator tolerates 0 faulty ones" in first.err
    again = call("run", *options, "--rounds", "1")
    assert again.code == 0
    assert "is finished at height 1" in again.err
    assert "--rounds" in again.err
    assert again.out.splitlines()[:2] == first.out.splitlines()[:2]
    longer = call("run", "--dir", str(tmp_path / "r"), "--rounds", "2", "--json", "--quiet")
    assert longer.err == ""
    assert json.loads(longer.out)["height"] == 2
    anew = call("run", *options, "--rounds", "1", "--new", "--json")
    assert "is now in" in anew.err
    assert json.loads(anew.out)["height"] == 1


def test_runs_without_a_directory_are_numbered_and_the_newest_is_looked_at(call: Call) -> None:
    options = ["--task", "synthetic:examples=200", "--trainers", "2", "--validators", "1", "--rounds", "1", "--json"]
    made = [Path(call("run", *options).data["directory"]) for _ in range(2)]
    assert [path.name for path in made] == ["synthetic-examples-200-1", "synthetic-examples-200-2"]
    assert call("status", "--json").data["path"] == str(made[1])


def test_a_reader_that_leaves_early_is_no_error(straight: dict[str, Any]) -> None:
    command = f"{' '.join(PROGRAM)} blocks {straight['directory']} --json | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_second_signal_ends_the_process_at_once(call: Call, tmp_path: Path) -> None:
    command = [*PROGRAM, "run", *OPTIONS, "--dir", str(tmp_path / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith(("round 1/", "stopping")):
                process.send_signal(signal.SIGTERM)
        assert process.wait() == 143
    assert call("run", "--dir", str(tmp_path / "run"), "--json").data["height"] == ROUNDS
