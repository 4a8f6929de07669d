"""``flobc down`` where nothing runs, and a server's port that somebody else has."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.local.plan import Plan, get_process, save_plan
from flobc.composition.local.process import DetachedProcess, require_free_port
from flobc.composition.local.system import ensure_server
from flobc.errors import UsageError

PLAN = Plan("127.0.0.1:1", "127.0.0.1:2", ("127.0.0.1:3",), ("127.0.0.1:4",), 1)


@pytest.fixture
def somebody() -> Iterator[int]:
    """The port of a program that is none of ours."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def run_here(process: DetachedProcess) -> None:
    """Let a process be this one, which runs."""
    process.pid_file.parent.mkdir(parents=True)
    start = Path(f"/proc/{os.getpid()}/stat").read_text().rpartition(")")[2].split()[19]
    process.pid_file.write_text(f"{os.getpid()} {start}")


def test_stopping_what_does_not_run_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    save_plan(tmp_path, PLAN)
    for _ in range(2):
        assert main(["down", "--dir", str(tmp_path)]) == 0
        out, err = capsys.readouterr()
        assert out.startswith(f"Nothing of the system in {tmp_path} runs")
        assert f"flobc up --dir {tmp_path}" in out
        assert err == ""
    assert main(["down", "--dir", str(tmp_path), "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"directory": str(tmp_path), "killed": []}


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="only Linux shows a process's start here")
def test_a_server_that_runs_already_is_not_started_again(somebody: int, tmp_path: Path) -> None:
    process = get_process(tmp_path, "ledger", 0)
    run_here(process)
    address = f"127.0.0.1:{somebody}"
    assert ensure_server(process, lambda port: pytest.fail(f"started at {port}"), address) == address


def test_who_else_listens_at_a_server_s_port_is_not_taken_for_it(somebody: int, tmp_path: Path) -> None:
    """A system would speak to a stranger's program, and wait for ever."""

    def start(port: int) -> str:
        require_free_port("Kafka", "127.0.0.1", port, 0)
        return "started"

    process = get_process(tmp_path, "ledger", 0)
    with pytest.raises(UsageError, match=f"Kafka cannot listen at 127.0.0.1:{somebody}: another program does"):
        ensure_server(process, start, f"127.0.0.1:{somebody}")
