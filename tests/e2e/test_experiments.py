"""``flobc experiment`` from the command line: a cell that is there is not computed again, and nothing is hidden."""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.simulation.experiments.cells import Extent
from flobc.simulation.experiments.loading import read_experiment
from flobc.simulation.experiments.running import Order, run_experiment
from flobc.simulation.experiments.workers import Finished
from tests.support.dying_task import EXIT_CODE
from tests.support.experiments import TINY

ROOT = Path(__file__).resolve().parents[2]


def write(folder: Path, text: str = TINY) -> str:
    path = folder / "tiny.yaml"
    path.write_text(text)
    return str(path)


def experiment(*arguments: str) -> int:
    return main(["experiment", *arguments, "--quiet", "--workers", "1"])


def read_cells(output: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (output / "cells").iterdir()}


def test_an_experiment_from_file_to_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert experiment(write(tmp_path), "--output", str(output), "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["cells"], found["missing"], found["failed"]) == (4, 0, [])
    assert [claim["met"] for claim in found["claims"]] == [True]
    page = (output / "report.md").read_text()
    for words in ("# Tiny", "| It learns. |", "**met**", "| flobc_plus |", "one-4.png", "seeds 1 to 2", "FLoBC"):
        assert words in page
    assert {path.name for path in output.glob("*.png")} == {f"one-{number}.png" for number in range(1, 5)}
    assert all((output / f"one-{number}.svg").read_bytes().startswith(b"<?xml") for number in range(1, 5))
    rows = list(csv.DictReader(io.StringIO((output / "report.csv").read_text())))
    cells = list(csv.DictReader(io.StringIO((output / "cells.csv").read_text())))
    assert [row["point"] for row in rows] == ["none", "flobc_plus"]
    for row in rows:
        values = [float(cell["final_accuracy"]) for cell in cells if cell["point"] == row["point"]]
        assert float(row["final_accuracy"]) == pytest.approx(sum(values) / len(values))
    assert len({cell["head"] for cell in cells}) == 4
    # what a file says it did, anybody can do again
    record = json.loads(next(iter(read_cells(output).values())))
    (tmp_path / "cell.yaml").write_text(record["scenario"])
    assert main(["simulate", str(tmp_path / "cell.yaml"), "--quiet", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["head"] == record["head"]


def test_an_experiment_that_was_killed_goes_on_and_ends_with_the_same_bytes(tmp_path: Path) -> None:
    """SIGKILL leaves whole cells only; the next run computes the others."""
    text = TINY.replace("seeds: 2", "seeds: 4")
    file, output = write(tmp_path, text), tmp_path / "killed"
    program = [sys.executable, "-m", "flobc.cli.main", "experiment", file, "--output", str(output), "--workers", "1"]
    process = subprocess.Popen(program, cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True)
    assert process.stderr is not None
    for line in process.stderr:
        if line.startswith(b"2/8"):
            break
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stderr.close()
    before = read_cells(output)
    assert 2 <= len(before) < 8
    assert experiment(file, "--output", str(output)) == 0
    assert experiment(file, "--output", str(tmp_path / "whole")) == 0
    after = read_cells(output)
    assert len(after) == 8
    assert before.items() <= after.items()
    assert after == read_cells(tmp_path / "whole")
    for name in ("report.csv", "cells.csv", "report.json", "one-1.png", "one-1.svg"):
        assert (output / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()


class Interrupting:
    """Interrupts when the first cell is there."""

    def on_start(self, cells: int, missing: int) -> None:
        self.missing = missing

    def on_cell(self, finished: Finished) -> None:
        raise KeyboardInterrupt


def test_an_interrupted_experiment_keeps_whole_cells_and_ends_its_workers(tmp_path: Path) -> None:
    loaded, order = read_experiment("tiny.yaml", TINY), Order(Extent(), workers=2)
    with pytest.raises(KeyboardInterrupt):
        run_experiment(loaded, order, tmp_path / "out", Interrupting())
    kept = read_cells(tmp_path / "out")
    assert len(kept) == 1
    assert json.loads(next(iter(kept.values())))["status"] == "finished"
    watcher = Interrupting()
    with pytest.raises(KeyboardInterrupt):
        run_experiment(loaded, order, tmp_path / "out", watcher)
    assert watcher.missing == 3


@pytest.mark.parametrize(("task", "why"), [("dying", f"code {EXIT_CODE}"), ("failing", "this task fails")])
def test_a_cell_that_fails_is_told_and_tried_again(
    task: str, why: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """One point of two fails: the other is there, the page names the failure, and the exit code is 1."""
    axis = f"{{name: bad, world: {{run: {{task: 'tests.support.dying_task:{task}'}}}}}}"
    old = "{name: trust, key: run.trust, values: [none, flobc_plus]}"
    text = TINY.replace(old, f"{{name: trust, points: [{{name: good}}, {axis}]}}").replace("seeds: 2", "seeds: 1")
    output = tmp_path / "out"
    for _ in range(2):
        assert experiment(write(tmp_path, text), "--output", str(output), "--json") == 1
        found = json.loads(capsys.readouterr().out)
        assert (found["cells"], found["missing"], found["failed"]) == (2, 1, ["one/bad/seed-1"])
    page = (output / "report.md").read_text()
    assert "1 of 2 cells are missing" in page
    assert "## Cells that failed" in page
    assert why in page
    assert found["claims"][0]["met"] is None
    assert len(read_cells(output)) == 1


def test_only_some_cells(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    output = tmp_path / "out"
    assert experiment(write(tmp_path), "--output", str(output), "--only", "one/none/seed-1", "--json") == 0
    assert json.loads(capsys.readouterr().out)["missing"] == 3
    assert experiment(write(tmp_path), "--output", str(output), "--only", "none/two") == 2
    assert "No cell's name fits --only none/two" in capsys.readouterr().err


def test_a_directory_of_something_else_is_left_alone(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "thesis.txt").write_text("mine")
    assert experiment(write(tmp_path), "--output", str(tmp_path / "out")) == 2
    assert "holds no experiment" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["thesis.txt"]


def test_the_page_about_a_run_and_about_its_export(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both say what the chain says; only a run's directory knows the trainers by number and a simulation's times."""
    world = tmp_path / "world.yaml"
    world.write_text(
        'run: {task: "examples.numpy_task:task", trainers: 4, validators: 4, rounds: 3, sync: bsp}\n'
        "attacks: {trainers: [nan@0.25]}\n"
    )
    chain, export = tmp_path / "chain", tmp_path / "chain.zip"
    assert main(["simulate", str(world), "--dir", str(chain), "--quiet"]) == 0
    assert main(["export", "chain", str(chain), "--out", str(export), "--quiet"]) == 0
    capsys.readouterr()
    results = json.loads((chain / "results.json").read_text())
    pages = []
    for path, output in ((chain, chain / "report"), (export, tmp_path / "chain-report")):
        assert main(["report", str(path), "--json", "--quiet"]) == 0
        told = json.loads(capsys.readouterr().out)
        assert told["report"] == str(output / "report.md")
        assert (told["height"], told["head"]) == (3, results["head"])
        story = json.loads((output / "report.json").read_text())
        pages.append((story, (output / "report.md").read_text()))
        assert (output / "accuracy.png").is_file()
    story, page = pages[0]
    for row, simulated in zip(story["blocks"], results["rounds"], strict=True):
        for name in ("height", "closing", "accepted", "rejected", "payload_bytes", "log_bytes"):
            assert row[name] == simulated[name]
        assert row["test_accuracy"] == pytest.approx(simulated["test_accuracy"])
        assert row["virtual_s"] == simulated["virtual_ms"] / 1000
    for row, simulated in zip(story["trainers"], results["trainers"], strict=True):
        assert row["key"] == simulated["key"]
        assert row["trust"][-1] == pytest.approx(simulated["trust_share"])
        assert row["mean_weight"] == pytest.approx(simulated["weight_share"])
    assert "| trainer 3 |" in page
    reasons = {reason: count for row in results["rounds"] for reason, count in row["rejected"].items()}
    assert reasons
    for reason in reasons:
        total = sum(row["rejected"].get(reason, 0) for row in results["rounds"])
        assert f"| {reason.replace('_', ' ')} | {total} |" in page
    other, exported = pages[1]
    assert {row["key"] for row in other["trainers"]} == {row["key"] for row in story["trainers"]}
    assert all(row["virtual_s"] is None for row in other["blocks"])
    assert "trainer 3" not in exported


def test_a_report_on_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", str(tmp_path), "--quiet"]) == 2
    assert "flobc: " in capsys.readouterr().err
