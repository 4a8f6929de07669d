"""``flobc run --web``: pages that are live while a run learns, stay at a terminal, and change nothing in the chain."""

import contextlib
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from flobc.composition.local.process import is_port_open
from flobc.composition.run_directory import load_height

PROGRAM = [sys.executable, "-m", "flobc.cli.main"]
TASK = "tests.support.paced_task:task"
"""Slow enough that somebody who looks on sees it learn, and without torch."""
ROUNDS, MORE = 2_000, 2
OPTIONS = ["--task", TASK, "--trainers", "3", "--rounds", str(ROUNDS), "--seed", "4"]
PAGES = ["--web", "--web-port", "0"]
ADDRESS = re.compile(r"http://[\d.]+:\d+")
PATIENCE_S = 120.0


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")


def read_block(address: str, least: int = 1) -> int:
    """Wait on the overview's live stream until it shows a block, and return the newest one's height."""
    with urllib.request.urlopen(f"{address}/events", timeout=PATIENCE_S) as stream:
        for line in stream:
            if line.startswith(b"data: ") and (height := json.loads(line[6:])["height"]) >= least:
                return int(height)
    raise AssertionError("the stream ended before there was a block")


def is_served(address: str) -> bool:
    host, _, port = address.removeprefix("http://").partition(":")
    return is_port_open(host, int(port))


def read_until(source: Any, word: str) -> str:
    """What somebody at the terminal sees up to a word."""
    seen = b""
    until_s = time.monotonic() + PATIENCE_S
    while word.encode() not in seen:
        assert time.monotonic() < until_s, seen
        seen += os.read(source, 4096)
    return seen.decode()


@contextlib.contextmanager
def at_a_terminal(arguments: list[str]) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A command whose stdin and stderr are a terminal's."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments], stdin=theirs, stderr=theirs, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    os.close(theirs)
    try:
        yield process, ours
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def test_pages_are_live_and_the_chain_is_the_same(tmp_path: Path) -> None:
    """A run that is looked at, stopped, and goes on before a terminal; its pages stay there until Ctrl-C.

    The same rounds without pages lead to the same head.
    """
    root = tmp_path / "run"
    command = [*PROGRAM, "run", *OPTIONS, "--dir", str(root), *PAGES]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        address = ADDRESS.findall(process.stderr.readline())[0]
        seen = read_block(address)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 130
    assert "Traceback" not in said
    assert not is_served(address)

    rounds = str(load_height(root) + MORE)
    with at_a_terminal(["run", "--dir", str(root), "--rounds", rounds, "--json", *PAGES]) as (process, terminal):
        address = ADDRESS.findall(read_until(terminal, "until Ctrl-C."))[-1]
        read_block(address, seen)
        with urllib.request.urlopen(f"{address}/blocks/{seen}", timeout=PATIENCE_S) as page:
            assert b"BROKEN" not in page.read()
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0

    plain = [*PROGRAM, "run", "--task", TASK, "--trainers", "3", "--rounds", rounds, "--seed", "4", "--json"]
    done = subprocess.run([*plain, "--dir", str(tmp_path / "plain")], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["head"] == json.loads(out)["head"]


@pytest.mark.parametrize("terminal", [False, True])
def test_pages_end_with_the_run_where_nobody_shall_wait(terminal: bool, tmp_path: Path) -> None:
    arguments = [
        "run",
        "--task",
        "synthetic",
        "--trainers",
        "3",
        "--rounds",
        "1",
        "--dir",
        str(tmp_path / "run"),
        *PAGES,
    ]
    if terminal:
        with at_a_terminal([*arguments, "--no-wait"]) as (process, _):
            assert process.wait(PATIENCE_S) == 0
    else:
        command = [*PROGRAM, *arguments]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=True)
        assert "until Ctrl-C" not in done.stderr
        assert "Traceback" not in done.stderr


def test_a_killed_run_takes_its_pages_along(tmp_path: Path) -> None:
    command = [*PROGRAM, "run", *OPTIONS, "--dir", str(tmp_path / "run"), *PAGES]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as process:
        assert process.stderr is not None
        address = ADDRESS.findall(process.stderr.readline())[0]
        read_block(address)
        process.kill()
    until_s = time.monotonic() + PATIENCE_S
    while is_served(address):
        assert time.monotonic() < until_s
        time.sleep(0.1)
