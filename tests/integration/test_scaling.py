"""Scaling a whole system on real servers, and load tests of such systems: measured, interrupted, gone on with."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from flobc.adapters.filesystem.keys import load_key_file
from flobc.cli.main import main
from flobc.composition.local.plan import load_plan
from flobc.composition.local.system import INVITATION
from flobc.composition.scaling.measurement import MEASUREMENTS
from tests.support.system import PATIENCE_S, WholeSystem, running, whole_system

ROOT = Path(__file__).resolve().parents[2]
TASK = "synthetic:parameters=1000,training_ms=200,scoring_ms=20"
OPTIONS = ("--task", TASK, "--trainers", "2", "--validators", "1", "--sync", "bsp", "--period", "5")
PLAN = f"""
name: quick
steps: [{{trainers: 1, validators: 1}}, {{trainers: 2, validators: 1}}]
repeats: 1
warm_up: {{rounds: 1}}
measure: {{rounds: 3}}
drain: {{quiet_s: 2}}
ready_timeout_s: 120
system: {{task: "{TASK}", sync: bsp, period: 5}}
"""


def list_running(system: WholeSystem) -> list[str]:
    return sorted(name for name, pid in system.list_processes().items() if pid is not None and "trainer" in name)


def wait_for_trainers(system: WholeSystem, count: int, capsys: pytest.CaptureFixture[str]) -> None:
    """Wait for a block that decides an update of so many trainers."""

    def read_newest() -> dict[str, Any]:
        height = system.read_height()
        capsys.readouterr()
        assert main(["blocks", str(system.root), "--height", str(height), "--json"]) == 0
        return dict(json.loads(capsys.readouterr().out))

    system.wait_for_blocks(1)
    system.wait_until(f"a block with {count} updates", lambda: len(read_newest()["accepted"]) == count)


def test_trainers_go_come_back_and_join(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """CHAIN-9: a trainer beyond the genesis gets a key and joins by invitation; each is stopped and started at will."""
    root = tmp_path / "chain"
    operator = tmp_path / "operator"
    assert main(["keys", "new", str(operator), "--quiet"]) == 0
    admission = ["--admission", "invite", "--operator", load_key_file(operator).public_key.hex()]
    assert main(["genesis", "new", "--dir", str(root), *OPTIONS, "--sync", "ssp", *admission, "--quiet"]) == 0
    system = WholeSystem(root, options=(), ledgers=1)
    with running(system, system.up):
        wait_for_trainers(system, 2, capsys)
        assert main(["scale", "--trainers", "1", "--dir", str(root), "--quiet"]) == 0
        assert list_running(system) == ["trainer-0"]
        wait_for_trainers(system, 1, capsys)
        assert main(["scale", "--trainers", "3", "--dir", str(root), "--quiet"]) == 2
        assert "flobc invite" in capsys.readouterr().err
        invitation = ["--genesis", str(root), "--key", str(operator), "--until-height", "9999"]
        assert main(["invite", *invitation, "--out", str(root / INVITATION), "--quiet"]) == 0
        assert main(["scale", "--trainers", "3", "--dir", str(root), "--quiet"]) == 0
        assert list_running(system) == ["trainer-0", "trainer-1", "trainer-2"]
        wait_for_trainers(system, 3, capsys)
        system.up()  # knows of the third
        assert load_plan(root).trainers == 3
        assert main(["verify", str(root), "--full", "--quiet"]) == 0
        system.down()
        capsys.readouterr()
        assert main(["scale", "--trainers", "2", "--dir", str(root), "--quiet"]) == 2
        assert f"does not run; start it with: flobc up --dir {root}" in capsys.readouterr().err
        assert list_running(system) == []


def test_a_load_test_and_its_going_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Each step in a system of its own; no update is lost or counted twice (ROUND-12); what is measured stays."""
    plan, out = tmp_path / "plan.yaml", tmp_path / "out"
    plan.write_text(PLAN)
    command = ["load", str(plan), "--output", str(out), "--json", "--quiet"]
    skip_without_servers(main(command), capsys)
    data = json.loads(capsys.readouterr().out)
    assert [point["ratio"] for point in data["points"]] == ["1:1", "2:1"]
    lines = (out / MEASUREMENTS).read_text().splitlines()
    assert len(lines) == 2
    for line in map(json.loads, lines):
        assert len(line["round_s"]) >= 3
        assert line["decided"] == len(line["round_s"]) * line["trainers"]
        assert min(line["round_s"]) >= 0.2 + 0.02 * line["trainers"]
        assert " 0 lost" in line["checks"]["updates"]
        assert line["cores"]["trainer"] > 0
    (out / MEASUREMENTS).write_text(lines[0] + "\n")
    assert main(command) == 0
    again = (out / MEASUREMENTS).read_text().splitlines()
    assert again[0] == lines[0]
    assert len(again) == 2
    assert {path.suffix for path in out.glob("report.*")} == {".csv", ".json", ".md", ".png"}


def skip_without_servers(code: int, capsys: pytest.CaptureFixture[str]) -> None:
    if code == 2:
        pytest.skip(capsys.readouterr().err)
    assert code == 0


def test_an_interrupted_load_test_leaves_a_system_as_it_was(tmp_path: Path) -> None:
    plan, out = tmp_path / "plan.yaml", tmp_path / "out"
    plan.write_text(PLAN.replace("measure: {rounds: 3}", "measure: {seconds: 600}"))
    with whole_system(tmp_path / "chain", OPTIONS, ledgers=1) as system:
        system.wait_for_blocks(1)
        command = [sys.executable, "-m", "flobc.cli.main", "load", str(plan), "--output", str(out)]
        run = subprocess.Popen(
            [*command, "--dir", str(system.root)],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stderr=subprocess.PIPE,
            text=True,
        )
        assert run.stderr is not None
        said = []
        for line in run.stderr:
            said.append(line)
            if "measuring" in line:
                assert list_running(system) == ["trainer-0"]
                run.send_signal(signal.SIGINT)
        assert run.wait(PATIENCE_S) == 130, said
        assert "Restoring 2 trainers ...\n" in said
        assert list_running(system) == ["trainer-0", "trainer-1"]
        system.wait_for_blocks(1)
