"""Time one round of plain FedAvg in Flower's deployment mode; prints one JSON object.

Runs in the peer's environment (``.bench/venv``). A SuperLink and ten SuperNodes on this machine, started as
the manual says and with the settings they come with: a new process for each client's turn, replies looked
for every 3 s. Only TLS is off, and the installation of an app's dependencies, which would need the network.
The app (``flower_app/``) is that of ``flower_simulation.py``: all clients each round, 1.2 M float32
parameters, next to no training, no evaluation. Its clients hold their model in torch, as the trainers that they
are compared with do; ``--framework numpy`` times clients that load no framework at all.

``round_s`` is the median over the rounds after the warm-up, from one model to the next. ``rss_mib`` is the
most that all processes held at once. With ``--killed`` a SuperNode and its children are killed while its
client works, and ``killed_round_s`` says how long that round took; null: longer than the bound.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # so that it runs by its path alone

from tests.bench import (
    arrays,
    flower_quiet,  # noqa: F401  (sets what flwr reads when it starts)
    processes,
)

APP = Path(__file__).resolve().parent / "flower_app"
ROOT = APP.parents[2]
PROGRAMS = Path(sys.prefix) / "bin"
START_TIMEOUT_S = 180.0  # on a busy machine an import alone takes a minute
POLL_S = 0.5
MIB = 2**20


@dataclass
class Deployment:
    """A SuperLink, its SuperNodes and a folder for their files; everything carries the same mark."""

    folder: Path
    mark: str = field(default_factory=lambda: f"{os.getpid()}-{time.monotonic_ns()}")
    programs: list[subprocess.Popen[bytes]] = field(default_factory=list)
    nodes: list[int] = field(default_factory=list)
    peak_rss_bytes: int = 0

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    def start_program(self, program: str, *arguments: str) -> subprocess.Popen[bytes]:
        environment = {
            **os.environ,
            processes.MARK: self.mark,
            "PATH": f"{PROGRAMS}{os.pathsep}{os.environ['PATH']}",  # Flower starts its own programs by name
            "PYTHONPATH": str(ROOT),
            "FLWR_HOME": str(self.folder),
        }
        # Each client's turn is a new process: without cached bytecode it would compile Flower every time.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with self.log.open("ab") as log:
            started = subprocess.Popen(
                [str(PROGRAMS / program), *arguments], cwd=self.folder, env=environment, stdout=log, stderr=log
            )
        self.programs.append(started)
        return started

    def start(self, clients: int) -> None:
        """Start the SuperLink, then the SuperNodes. Raises ``SystemExit`` where it does not answer."""
        link, *ports = find_ports(1 + clients)
        address = f"127.0.0.1:{link}"
        connection = f'[superlink.bench]\naddress = "{address}"\ninsecure = true\n'
        (self.folder / "config.toml").write_text(connection, encoding="utf-8")
        superlink = self.start_program(
            "flower-superlink", "--insecure", "--port", str(link), "--disable-runtime-dependency-installation"
        )
        self.wait_until(lambda: superlink.poll() is not None or is_open(link), START_TIMEOUT_S)
        if not is_open(link):
            raise SystemExit(f"Flower's SuperLink did not start: {self.get_last_line()}")
        for client, port in enumerate(ports):
            config = f"partition-id={client} num-partitions={clients}"
            arguments = ["--superlink", address, "--port", str(port), "--node-config", config]
            self.nodes.append(self.start_program("flower-supernode", "--insecure", *arguments).pid)

    def submit_run(self, options: argparse.Namespace, rounds: int, report: Path) -> None:
        values = f"clients={options.clients} parameters={options.parameters} rounds={rounds} report='{report}'"
        values += f" framework='{options.framework}'"
        submission = self.start_program("flwr", "run", str(APP), "bench", "--run-config", values)
        self.wait_until(lambda: submission.poll() is not None, START_TIMEOUT_S)
        if submission.poll() != 0:
            raise SystemExit(f"Flower did not take the run: {self.get_last_line()}")

    def measure_usage(self) -> processes.Usage:
        usage = processes.measure_usage(self.mark)
        self.peak_rss_bytes = max(self.peak_rss_bytes, usage.rss_bytes)
        return usage

    def wait_until(self, is_true: Callable[[], bool], timeout_s: float) -> bool:
        """Wait for the condition, noting the memory held meanwhile; False when the time is over first."""
        deadline_s = time.monotonic() + timeout_s
        while not is_true():
            if time.monotonic() > deadline_s:
                return False
            self.measure_usage()
            time.sleep(POLL_S)
        return True

    def get_last_line(self) -> str:
        lines = self.log.read_text(encoding="utf-8", errors="replace").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")

    def stop(self) -> None:
        processes.stop_marked(self.mark)
        for program in self.programs:
            program.wait()


@dataclass(frozen=True)
class Round:
    """One line of the server's report; round 0 is the start."""

    number: int
    at_s: float
    error: float

    def has_all_clients(self) -> bool:
        return self.error <= 1e-5


def find_ports(count: int) -> list[int]:
    """Ports that were free a moment ago, all different because all are held at once."""
    held = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [int(server.getsockname()[1]) for server in held]
    for server in held:
        server.close()
    return ports


def is_open(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def read_rounds(report: Path) -> list[Round]:
    if not report.exists():
        return []
    whole_lines = report.read_text(encoding="utf-8").split("\n")[:-1]
    return [Round(line["round"], line["at_s"], line["error"]) for line in map(json.loads, whole_lines)]


def wait_for_round(deployment: Deployment, report: Path, number: int, timeout_s: float) -> list[Round]:
    """Wait until this many rounds have ended, all clients in each. Raises ``SystemExit`` where they do not."""
    if not deployment.wait_until(lambda: len(read_rounds(report)) > number, timeout_s):
        raise SystemExit(f"Flower's round {number} did not end within {timeout_s:.0f} s: {deployment.get_last_line()}")
    rounds = read_rounds(report)
    for ended in rounds:
        if not ended.has_all_clients():
            raise SystemExit(f"Flower's model is {ended.error:.2g} away from the mean of all clients.")
    return rounds


def compute_durations_s(rounds: Sequence[Round]) -> list[float]:
    return [after.at_s - before.at_s for before, after in itertools.pairwise(rounds)]


def measure_rounds(options: argparse.Namespace, deployment: Deployment, report: Path) -> dict[str, object]:
    """Time rounds in which nothing goes wrong; the warm-up also waits for all nodes to be there."""
    deployment.submit_run(options, options.warm_up + options.rounds, report)
    wait_for_round(deployment, report, options.warm_up, options.timeout_s)
    before = deployment.measure_usage()
    last = options.warm_up + options.rounds
    rounds = wait_for_round(deployment, report, last, options.timeout_s * options.rounds)
    after = deployment.measure_usage()
    counted_s = compute_durations_s(rounds)[options.warm_up :]
    return {
        "round_s": statistics.median(counted_s),
        "round_s_min": min(counted_s),
        "rounds": len(counted_s),
        "rounds_s": [round(seconds, 3) for seconds in compute_durations_s(rounds)],
        "cpu_s_per_round": (after.cpu_s - before.cpu_s) / options.rounds,
    }


def measure_killed_round(options: argparse.Namespace, deployment: Deployment, report: Path) -> dict[str, object]:
    """Kill one SuperNode, and what it started, as soon as its client works on the round after the warm-up."""
    killed_round = options.warm_up + 1
    deployment.submit_run(options, killed_round, report)
    started = wait_for_round(deployment, report, options.warm_up, options.timeout_s)[-1]
    victim = random.choice(deployment.nodes)
    if not deployment.wait_until(lambda: has_client(deployment, victim), options.timeout_s):
        raise SystemExit(f"No client worked in Flower's round {killed_round}: {deployment.get_last_line()}")
    processes.kill_all(processes.select_family(processes.list_marked(deployment.mark), victim))
    killed_at_s = time.monotonic()
    has_ended = deployment.wait_until(lambda: len(read_rounds(report)) > killed_round, options.timeout_s)
    if has_ended and read_rounds(report)[-1].has_all_clients():
        raise SystemExit("Flower had the reply of the killed client already; run it again.")
    return {
        "killed_round_s": read_rounds(report)[-1].at_s - started.at_s if has_ended else None,
        "killed_after_s": killed_at_s - started.at_s,
        "bound_s": options.timeout_s,
    }


def has_client(deployment: Deployment, node: int) -> bool:
    family = processes.select_family(processes.list_marked(deployment.mark), node)
    return any("flwr-clientapp" in process.command for process in family)


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=arrays.ROUND_CLIENTS)
    parser.add_argument("--parameters", type=int, default=arrays.PARAMETERS)
    parser.add_argument("--framework", choices=("torch", "numpy"), default="torch", help="what clients hold a model in")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="rounds at the start that do not count")
    parser.add_argument("--killed", action="store_true", help="kill a node in the round after the warm-up instead")
    parser.add_argument("--timeout-s", type=float, default=180, help="the most that one round may take")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry; the output is JSON")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("Stopped."))  # so that the peer is stopped, too
    with tempfile.TemporaryDirectory(prefix="flower-", ignore_cleanup_errors=True) as folder:
        deployment = Deployment(Path(folder))
        try:
            deployment.start(options.clients)
            measure = measure_killed_round if options.killed else measure_rounds
            figures = measure(options, deployment, Path(folder) / "rounds.jsonl")
        finally:
            deployment.stop()
    report = {
        **figures,
        "rss_mib": deployment.peak_rss_bytes / MIB,
        "clients": options.clients,
        "parameters": options.parameters,
        "framework": options.framework,
        "flwr": metadata.version("flwr"),
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
