"""Result files hold every row, name nothing of the machine, and are the same bytes for the same world."""

import csv
import json
from pathlib import Path

import pytest

from flobc.errors import FlobcError
from flobc.simulation.results import save_results
from tests.support.worlds import TINY, simulate_text

ATTACKED = TINY.replace("trainers: 4", "trainers: 6") + "attacks: {trainers: ['sign_flip:factor=9@0.34']}"


def read_rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_files_hold_what_was_found(tmp_path: Path) -> None:
    found = simulate_text(ATTACKED, out=tmp_path)
    rounds, trainers = read_rows(tmp_path / "results.csv"), read_rows(tmp_path / "trainers.csv")
    data = json.loads((tmp_path / "results.json").read_text())
    assert [int(row["height"]) for row in rounds] == [row["height"] for row in data["rounds"]] == [1, 2, 3]
    assert [int(row["virtual_ms"]) for row in rounds] == [row.virtual_ms for row in found.results.rounds]
    assert sum(int(row["rejected_low_score"]) for row in rounds) == sum(int(row["rejected"]) for row in trainers) > 0
    assert sum(int(row["accepted"]) for row in rounds) == sum(int(row["accepted"]) for row in trainers)
    assert [row["attack"] for row in trainers] == [""] * 4 + ["sign_flip"] * 2
    assert data["head"] == found.results.head
    assert data["settings"]["params"]["sync"]["scheme"] == "bsp"
    assert data["scenario"] == ATTACKED


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    for name, workers in (("a", 1), ("b", 3)):
        save_results(tmp_path / name, simulate_text(ATTACKED, workers=workers).results)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert names == ["results.csv", "results.json", "trainers.csv"]
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_a_chain_that_stops_leaves_the_rounds_that_it_made(tmp_path: Path) -> None:
    crash = "churn: {events: [{at: 2500ms, what: crash, validators: [0, 1]}]}"
    with pytest.raises(FlobcError, match="The chain stopped at height"):
        simulate_text(TINY.replace("rounds: 3", "rounds: 50, time_limit: 5min") + crash, out=tmp_path)
    rounds = read_rows(tmp_path / "results.csv")
    assert 1 <= len(rounds) < 10
    assert json.loads((tmp_path / "results.json").read_text())["height"] == len(rounds)
