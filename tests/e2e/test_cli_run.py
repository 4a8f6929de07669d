"""The program as a person meets it: processes, signals, two streams and exit codes."""

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-m", "flobc.cli.main"]
ROUNDS = 3
OPTIONS = ["--task", "digits:mlp", "--trainers", "3", "--rounds", str(ROUNDS), "--seed", "4"]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    return tmp_path / "home"


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """The JSON of a run that nobody disturbed."""
    root = tmp_path_factory.mktemp("straight") / "run"
    done = subprocess.run(
        [*PROGRAM, "run", *OPTIONS, "--dir", str(root), "--json"], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("\n") == 1
    data: dict[str, object] = json.loads(done.stdout)
    data["stderr"] = done.stderr
    return data


def call(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*PROGRAM, *arguments], capture_output=True, text=True, check=False)


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


def test_a_run_says_how_it_ended(straight: dict[str, object]) -> None:
    assert straight["height"] == ROUNDS
    assert straight["verified"] is True
    assert straight["seed"] == 4
    assert straight["accepted"] == 3 * ROUNDS
    assert straight["rejected"] == 0
    assert float(str(straight["test_accuracy"])) > 0.5
    assert list(straight["accuracy_by_height"]) == [str(height) for height in range(ROUNDS + 1)]  # type: ignore[call-overload]
    assert len(straight["trust"]) == 3  # type: ignore[arg-type]
    assert str(straight["stderr"]).count("round ") == ROUNDS
    assert "\x1b" not in str(straight["stderr"])


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)], ids=str
)
def test_a_stopped_run_goes_on_to_the_same_head(
    number: signal.Signals, code: int, straight: dict[str, object], home: Path, tmp_path: Path
) -> None:
    root = tmp_path / "run"
    found, said = signalled(["run", *OPTIONS, "--dir", str(root)], number, "round 1/")
    assert found == code
    if code > 0:
        assert f"go on with: flobc run --dir {root}" in said
    done = call("run", *OPTIONS, "--dir", str(root), "--json")
    assert done.returncode == 0, done.stderr
    data = json.loads(done.stdout)
    assert "Traceback" not in said + done.stderr
    for key in ("height", "head", "test_accuracy", "accuracy_by_height", "accepted", "trust", "verified"):
        assert data[key] == straight[key], key


def test_looking_at_a_finished_run(straight: dict[str, object], home: Path, tmp_path: Path) -> None:
    root = str(straight["directory"])
    status = json.loads(call("status", "--dir", root, "--json").stdout)
    assert status["height"] == ROUNDS
    assert status["head"] == straight["head"]
    assert status["test_accuracy"] == straight["test_accuracy"]
    assert status["running"] is False

    lines = call("blocks", root, "--json").stdout.splitlines()
    blocks = [json.loads(line) for line in lines]
    assert [block["height"] for block in blocks] == list(range(1, ROUNDS + 1))
    assert [block["header"] for block in blocks[:-1]] == [block["parent"] for block in blocks[1:]]
    assert blocks[-1]["header"] == straight["head"]
    assert "accepted" in call("blocks", root, "--height", "2").stdout

    verified = call("verify", root, "--full", "--json")
    assert verified.returncode == 0, verified.stderr
    report = json.loads(verified.stdout)
    assert report["verified"] is True
    assert report["head"] == straight["head"]


def test_a_finished_run_is_extended_or_left_alone(home: Path, tmp_path: Path) -> None:
    options = ["--task", "synthetic:examples=200", "--trainers", "2", "--validators", "1", "--dir", str(tmp_path / "r")]
    first = call("run", *options, "--rounds", "1")
    assert first.returncode == 0
    assert "tolerate 0 faulty ones" in first.stderr
    again = call("run", *options, "--rounds", "1")
    assert again.returncode == 0
    assert "is finished at height 1" in again.stderr
    assert "--rounds" in again.stderr
    assert again.stdout.splitlines()[:2] == first.stdout.splitlines()[:2]
    longer = call("run", "--dir", str(tmp_path / "r"), "--rounds", "2", "--json", "--quiet")
    assert longer.stderr == ""
    assert json.loads(longer.stdout)["height"] == 2
    anew = call("run", *options, "--rounds", "1", "--new", "--json")
    assert "is now in" in anew.stderr
    assert json.loads(anew.stdout)["height"] == 1


def test_runs_without_a_directory_are_numbered_and_the_newest_is_looked_at(home: Path) -> None:
    options = ["--task", "synthetic:examples=200", "--trainers", "2", "--validators", "1", "--rounds", "1", "--json"]
    made = [Path(json.loads(call("run", *options).stdout)["directory"]) for _ in range(2)]
    assert [path.name for path in made] == ["synthetic-examples-200-1", "synthetic-examples-200-2"]
    assert json.loads(call("status", "--json").stdout)["path"] == str(made[1])


def test_a_reader_that_leaves_early_is_no_error(straight: dict[str, object]) -> None:
    command = f"{' '.join(PROGRAM)} blocks {straight['directory']} --json | true"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False)
    assert done.stderr == ""


def test_the_second_signal_ends_the_process_at_once(home: Path, tmp_path: Path) -> None:
    command = [*PROGRAM, "run", *OPTIONS, "--dir", str(tmp_path / "run")]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr
        for line in process.stderr:
            if line.startswith(("round 1/", "stopping")):
                process.send_signal(signal.SIGINT)
        assert process.wait() == 130
    assert json.loads(call("run", "--dir", str(tmp_path / "run"), "--json").stdout)["height"] == ROUNDS
