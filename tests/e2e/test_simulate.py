"""``flobc simulate`` from the command line: same seed, same bytes; what it leaves is a run like any other."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.run_directory import load_height

WORLD = """
run: {task: "digits:softmax", trainers: 30, validators: 4, rounds: 2, sync: bap, majority_ratio: 70%, period: 20s}
data: {sharding: "dirichlet:0.5"}
network: {loss: 5%, duplication: 5%, trainers: {latency: {lognormal: {median: 50ms, sigma: 0.5}}}}
speeds: {training: {lognormal: {median: 1s, sigma: 0.5}}}
attacks: {trainers: ["gaussian:std=0.05@0.2", "alie@0.1"]}
"""


def write_world(folder: Path, text: str = WORLD) -> str:
    path = folder / "world.yaml"
    path.write_text(text)
    return str(path)


def simulate(*arguments: str) -> int:
    return main(["simulate", *arguments, "--quiet"])


def test_same_seed_same_bytes_on_one_and_two_threads(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Rounding depends on what is computed in one pass, so the passes must not depend on threads."""
    world, found = write_world(tmp_path), []
    for number, workers in enumerate(("1", "2", "2")):
        assert simulate(world, "--workers", workers, "--out", str(tmp_path / f"{number}"), "--json") == 0
        files = [path.read_bytes() for path in sorted((tmp_path / f"{number}").iterdir())]
        assert len(files) == 3
        found.append((json.loads(capsys.readouterr().out)["head"], *files))
    assert found[0] == found[1] == found[2]
    assert simulate(world, "--seed", "1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["head"] != found[0][0]


def test_what_it_keeps_is_a_run_like_any_other(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world, root = write_world(tmp_path), tmp_path / "chain"
    assert simulate(world, "--dir", str(root), "--json") == 0
    end = json.loads(capsys.readouterr().out)
    assert main(["verify", "--full", "--json", str(root)]) == 0
    verified = json.loads(capsys.readouterr().out)
    assert (verified["head"], verified["recomputed"]) == (end["head"], [1, 2])
    assert main(["blocks", "--json", str(root)]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 2
    assert main(["export", "chain", "--quiet", str(root), "--out", str(tmp_path / "chain.flobc")]) == 0
    assert main(["verify", "--quiet", str(tmp_path / "chain.flobc")]) == 0
    results = json.loads((root / "results.json").read_text())
    assert [row["height"] for row in results["rounds"]] == [1, 2]
    assert results["scenario"] == (root / "scenario.yaml").read_text() == WORLD
    capsys.readouterr()
    assert simulate(world, "--dir", str(root)) == 2
    assert "start anew with --new" in capsys.readouterr().err
    assert main(["run", "--dir", str(root), "--rounds", "3", "--quiet"]) == 2
    assert "is a simulation, which nothing goes on with" in capsys.readouterr().err
    assert load_height(root) == 2
    assert simulate(world, "--dir", str(root), "--new", "--rounds", "1") == 0
    assert (load_height(root), load_height(tmp_path / "chain.old-1")) == (1, 2)


def test_a_mistake_is_one_sentence_and_leaves_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = write_world(tmp_path, "run:\n  rouns: 3\n")
    assert main(["simulate", world, "--dir", str(tmp_path / "chain")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("flobc: world.yaml:2: run.rouns is no key; did you mean 'rounds'?")
    assert error.count("\n") == 1
    assert not (tmp_path / "chain").exists()


def test_too_little_data_is_said_before_anything_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    world = write_world(tmp_path, "run: {task: 'digits:softmax', trainers: 5000, rounds: 1}")
    assert main(["simulate", world, "--dir", str(tmp_path / "chain")]) == 2
    assert "5000 parties" in capsys.readouterr().err
    assert not (tmp_path / "chain").exists()


def test_an_interrupt_leaves_what_is_there(tmp_path: Path) -> None:
    world, root = write_world(tmp_path, WORLD.replace("rounds: 2", "rounds: 100000")), tmp_path / "chain"
    command = [sys.executable, "-m", "flobc.cli.main", "simulate", world, "--dir", str(root)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        while process.poll() is None and not list((root / "blocks").glob("*.block")):
            time.sleep(0.05)
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=120)
    finally:
        process.kill()
    assert process.returncode == 130, errors
    assert "give the same command with --new to begin anew" in errors
    assert main(["verify", "--quiet", str(root)]) == 0
    height = json.loads((root / "results.json").read_text())["height"]
    assert height == load_height(root) >= 1
