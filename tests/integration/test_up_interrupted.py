"""``flobc up`` stopped by Ctrl-C while its servers start: ``down`` finds what was started, and ``up`` goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from flobc.cli.main import main
from tests.support.system import PATIENCE_S, POLL_S, WholeSystem, running

OPTIONS = ("--task", "tests.support.paced_task:quick", "--trainers", "1", "--validators", "1", "--period", "2")
INTERRUPTED, FAILED = 130, 4


def interrupt_up(system: WholeSystem) -> int:
    """Press Ctrl-C as soon as Kafka's process is there; return the exit code."""
    command = [sys.executable, "-m", "flobc.cli.main", "up", "--dir", str(system.root), *OPTIONS, "--no-explorer"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    started = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
    until_s = time.monotonic() + PATIENCE_S
    while not (system.root / "kafka" / "pid").exists() and started.poll() is None and time.monotonic() < until_s:
        time.sleep(POLL_S)
    started.send_signal(signal.SIGINT)
    started.communicate(timeout=PATIENCE_S)
    return started.returncode


def test_what_an_interrupted_up_started_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    system = WholeSystem(tmp_path / "chain", OPTIONS, ledgers=1)
    codes: list[int] = []
    with running(system, lambda: codes.append(interrupt_up(system))):
        assert codes == [INTERRUPTED]
        kafka = system.list_processes()["kafka"]
        assert kafka is not None
        system.down()
        assert set(system.list_processes().values()) == {None}
        capsys.readouterr()
        assert main(["verify", str(system.root), "--quiet"]) == FAILED
        assert capsys.readouterr().err.startswith("flobc: Nobody answers for")
        system.up()
        system.wait_for_blocks(2)
        system.check()
