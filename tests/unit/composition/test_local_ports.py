"""Ports that are given out before anybody listens there."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from flobc.composition.local import ports
from flobc.composition.local.ports import find_free_port

ASK = "from flobc.composition.local.ports import find_free_port\nfor _ in range(10): print(find_free_port())"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "flobc"


def test_processes_that_start_together_get_different_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_PORTS", (20_000, 20_040))  # so few that chance would repeat one
    few = [find_free_port() for _ in range(20)]
    others = [subprocess.Popen([sys.executable, "-c", ASK], stdout=subprocess.PIPE, text=True) for _ in range(3)]
    given = few + [int(port) for other in others for port in other.communicate()[0].split()]
    assert len(set(given)) == len(given) == 50


def test_a_promise_is_forgotten_and_noise_in_the_file_is_ignored(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "_PORTS", (20_100, 20_101))
    cache.mkdir()
    (cache / "ports").write_bytes(b"20100 1000.0\n20100 99999999999\n\xff\xfe\n201")
    assert find_free_port() == 20_100
    assert (cache / "ports").read_text().startswith("20100 ")


def test_where_somebody_listens_is_no_free_port(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        taken = server.getsockname()[1]
        choices = iter([taken, find_free_port()])
        monkeypatch.setattr(ports, "_promises", lambda: contextlib.nullcontext({}))
        monkeypatch.setattr(ports.random, "randrange", lambda *_: next(choices))
        assert find_free_port() != taken


def test_without_a_home_ports_are_found_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_home() -> None:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(ports, "get_cache", no_home)
    assert 20_000 <= find_free_port() < 32_000


def test_without_a_place_for_notes_ports_are_found_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert 20_000 <= find_free_port() < 32_000
