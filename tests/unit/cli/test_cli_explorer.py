"""``flobc explorer``: what does not go together is one sentence, and a run's directory is shown."""

from __future__ import annotations

import importlib.util
import re
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import pytest

from flobc.cli.main import EXIT_USAGE, main
from flobc.composition.run_directory import load_genesis
from flobc.protocol.params import get_chain_id
from tests.support.small_chain import build_chain


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--ledger", "a:1", "--dir", "chain"], "give one of them"),
        (["a:1", "--ledger", "a:1"], "give one of them"),
        (["--ledger", "nowhere"], "is no address"),
        (["--ledger", "a:1", "--port", "web"], "--port"),
        (["--ledger", "a:1", "--port", "70000"], "--port"),
        (["--dir", "chain", "--genesis", "chain"], "goes with ledgers"),
        (["--dir", "chain"], "There is no"),
        (["--ledger", "a:1", "--genesis", "chain"], "no usable genesis"),
    ],
)
def test_a_mistake_is_one_sentence(
    arguments: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["explorer", *arguments]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert said.startswith("flobc: ")
    assert said.count("\n") == 1
    assert words in said


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "starlette" else found(name))
    assert main(["explorer", "--ledger", "a:1"]) == EXIT_USAGE
    assert "pip install 'flobc[explorer]'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--web-port", "8080"], "go with --web"),
        (["--no-wait"], "go with --web"),
        (["--web", "--web-port", "web"], "--web-port"),
        (["--web", "--web-port", "{taken}"], "choose another HOST:PORT"),
    ],
)
def test_a_mistake_about_a_run_s_pages_leaves_nothing_behind(
    options: list[str], words: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    root = tmp_path / "run"
    with socket.create_server(("127.0.0.1", 0)) as taken:
        given = [option.format(taken=taken.getsockname()[1]) for option in options]
        assert main(["run", "--task", "synthetic", "--dir", str(root), *given]) == EXIT_USAGE
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert words in said
    assert not root.exists()


def test_a_run_s_pages_need_the_libraries(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "starlette" else found(name))
    assert main(["run", "--task", "synthetic", "--web"]) == EXIT_USAGE
    assert "pip install 'flobc[explorer]'" in capsys.readouterr().err


def test_a_run_s_directory_is_shown_until_the_signal(tmp_path: Path) -> None:
    """Its log has the states that ledgers would have, so trust is there too."""
    root = build_chain(tmp_path / "run")
    command = [sys.executable, "-m", "flobc.cli.main", "explorer", "--dir", str(root), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address = re.findall(r"http://[\d.]+:\d+", process.stdout.readline())[0]
        with urllib.request.urlopen(f"{address}/events") as stream:
            while b'"/blocks/3' not in (line := stream.readline()) and b"/blocks/3" not in line:
                assert line
        with urllib.request.urlopen(f"{address}/trainers") as page:
            text = page.read().decode()
        assert text.count("established") + text.count("probation") == 3
        assert get_chain_id(load_genesis(root)).hex() in text
    finally:
        process.terminate()
        _, said = process.communicate(timeout=30)
    assert process.returncode == 143
    assert "Traceback" not in said
