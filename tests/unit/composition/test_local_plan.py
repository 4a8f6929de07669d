"""Which processes a system has, and that a plan written before trainers shared processes still loads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from flobc.composition.local.plan import MARKER, Plan, load_plan
from flobc.composition.local.system import _build_environment
from flobc.composition.settings import RunSettings
from flobc.errors import DataError

PLAN = Plan("localhost:1", "localhost:2", ("localhost:3",), ("localhost:4",), trainers=7, trainers_per_process=3)


def write(root: Path, **changes: object) -> None:
    data = {name: value for name, value in (dataclasses.asdict(PLAN) | changes).items() if value is not None}
    (root / MARKER).write_text(json.dumps(data))


@pytest.mark.parametrize(("together", "processes"), [(1, 7), (2, 4), (3, 3), (7, 1), (50, 1)])
def test_there_are_as_many_trainer_processes_as_it_takes(together: int, processes: int) -> None:
    plan = dataclasses.replace(PLAN, trainers_per_process=together)
    trainers = [index for role, index in plan.list_nodes() if role == "trainer"]
    assert trainers == list(range(processes))


def test_plans_are_read_back_old_ones_too(tmp_path: Path) -> None:
    write(tmp_path)
    assert load_plan(tmp_path) == PLAN
    write(tmp_path, trainers_per_process=None)
    assert load_plan(tmp_path) == dataclasses.replace(PLAN, trainers_per_process=1)
    write(tmp_path, trainers_per_process=0)
    with pytest.raises(DataError, match="damaged"):
        load_plan(tmp_path)


def test_a_process_is_told_of_its_trainers_and_their_keys(tmp_path: Path) -> None:
    settings = RunSettings(trainers=7)
    several = _build_environment(tmp_path, settings, PLAN, "trainer", 2)
    assert several["FLOBC_KEY"] == str(tmp_path / "nodes" / "trainer-{index}" / "key")
    assert (several["FLOBC_INDEX"], several["FLOBC_SHARDS"], several["FLOBC_TRAINERS_PER_PROCESS"]) == ("2", "7", "3")
    alone = _build_environment(tmp_path, settings, dataclasses.replace(PLAN, trainers_per_process=1), "trainer", 2)
    assert alone["FLOBC_KEY"] == str(tmp_path / "nodes" / "trainer-2" / "key")
    assert "FLOBC_TRAINERS_PER_PROCESS" not in alone


def test_a_plan_may_have_an_explorer(tmp_path: Path) -> None:
    """Plans of before have none."""
    plan = dataclasses.replace(PLAN, explorer="localhost:8")
    assert plan.list_nodes()[-1] == ("explorer", 0)
    assert all(role != "explorer" for role, _ in PLAN.list_nodes())
    write(tmp_path, explorer="localhost:8")
    assert load_plan(tmp_path) == plan
    write(tmp_path, explorer=None)
    assert load_plan(tmp_path) == PLAN
    told = _build_environment(tmp_path, RunSettings(trainers=7), plan, "explorer", 0)
    assert (told["FLOBC_LISTEN"], told["FLOBC_LEDGERS"]) == ("localhost:8", "localhost:3")
    assert "FLOBC_KEY" not in told


def test_services_write_spans_where_that_is_asked_for(tmp_path: Path) -> None:
    """Plans of before ask for none, and the explorer has none."""
    plan = dataclasses.replace(PLAN, traces=True)
    write(tmp_path, traces=True)
    assert load_plan(tmp_path) == plan
    write(tmp_path, traces=None)
    assert load_plan(tmp_path) == PLAN
    settings = RunSettings(trainers=7)
    told = _build_environment(tmp_path, settings, plan, "ledger", 0)
    assert told["FLOBC_TRACES_FILE"] == str(tmp_path / "traces" / "ledger-0.jsonl")
    for role, of in (("explorer", plan), ("ledger", PLAN)):
        assert "FLOBC_TRACES_FILE" not in _build_environment(tmp_path, settings, of, role, 0)
