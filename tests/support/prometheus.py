"""Prometheus's own programs, and its server over the metrics of services that run."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from flobc.composition.local.ports import find_free_port
from flobc.composition.local.process import DetachedProcess, is_port_open

HOST = "127.0.0.1"
START_S = 60.0
SCRAPE_INTERVAL = "1s"


def find_program(name: str) -> str:
    """The path of ``prometheus`` or ``promtool``; where there is none the test is skipped."""
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"There is no {name} here: install it (Debian, Ubuntu: sudo apt install prometheus) and try again.")
    return found


def run_promtool(*arguments: str) -> str:
    """What promtool says; it must be content."""
    done = subprocess.run([find_program("promtool"), *arguments], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Prometheus:
    """A running server."""

    def __init__(self, address: str) -> None:
        self.address = address

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Every series that an expression gives now."""
        return list(self._ask("query", query=expression)["result"])

    def read_targets(self) -> dict[str, str]:
        """The health of every target by its address."""
        active = self._ask("targets")["activeTargets"]
        return {target["labels"]["instance"]: target["health"] for target in active}

    def _ask(self, what: str, **parameters: str) -> dict[str, Any]:
        url = f"http://{self.address}/api/v1/{what}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=10) as answer:
                return dict(json.load(answer)["data"])
        except urllib.error.HTTPError as error:
            pytest.fail(f"{parameters}: {error.read().decode()}")


@contextmanager
def running_prometheus(
    directory: Path, targets: Mapping[str, Sequence[str]], labels: Mapping[str, str], rules: Sequence[Path]
) -> Iterator[Prometheus]:
    """A server that reads each job's targets every second; ``labels`` are on every series."""
    program, port = find_program("prometheus"), find_free_port(HOST)
    jobs = [
        {"job_name": job, "static_configs": [{"targets": list(addresses), "labels": dict(labels)}]}
        for job, addresses in targets.items()
    ]
    times = {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL}
    config = {"global": times, "rule_files": [str(path) for path in rules], "scrape_configs": jobs}
    directory.mkdir()
    (directory / "prometheus.yml").write_text(yaml.safe_dump(config))
    process = DetachedProcess("Prometheus", directory / "pid", directory / "log")
    process.start(
        [
            program,
            f"--config.file={directory / 'prometheus.yml'}",
            f"--storage.tsdb.path={directory / 'data'}",
            f"--web.listen-address={HOST}:{port}",
        ]
    )
    try:
        process.wait_until(lambda: is_port_open(HOST, port), START_S)
        yield Prometheus(f"{HOST}:{port}")
    finally:
        process.stop(10)
