"""Time rounds of a whole system: every node a process of its own, through real Kafka, Redis and gRPC.

Ten trainers, four validators and a ledger with 1.2 M parameters and trivial training, started by ``flobc up``
on this machine. Prints one JSON object with ``--json``; otherwise also where a round's time, the processors'
time, the memory and the bytes go.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flobc.adapters.grpc import LedgerClient
from flobc.cli.main import main as flobc
from flobc.composition.local.plan import list_processes, load_plan
from tests.bench.stages import Stages, read_stages
from tests.bench.system_usage import count_bytes, measure_usage, subtract_bytes

TRAINERS = 10
VALIDATORS = 4
PARAMETERS = 1_200_000
WARM_UP = 30
START_TIMEOUT_S = 300


@dataclass(frozen=True)
class Rounds:
    """What some rounds took: seconds of each, and per round the CPU seconds and bytes by service."""

    seconds: list[float]
    cpu_s: dict[str, float]
    rss_mib: dict[str, float]
    sent_bytes: dict[str, float]
    first: int
    last: int


@contextmanager
def running_system(root: Path, options: list[str]) -> Iterator[Path]:
    """A system that ``flobc up`` has started; it is stopped and removed in the end."""
    os.environ["FLOBC_LOG_LEVEL"] = "DEBUG"  # the stages are lines of the services' logs
    try:
        if flobc(["up", "--dir", str(root), *options, "--no-explorer", "--quiet", "--json"]) != 0:
            raise SystemExit("The system did not start; the sentence above says why.")
        yield root
    finally:
        if (root / "system.json").exists():
            flobc(["down", "--dir", str(root), "--quiet", "--json"])


def build_options(codec: str, options: argparse.Namespace) -> list[str]:
    found = {
        "--task": f"synthetic:parameters={PARAMETERS}",
        "--trainers": TRAINERS,
        "--validators": VALIDATORS,
        "--ledgers": 1,
        "--sync": options.sync,
        "--aggregator": options.aggregator,
        "--codec": codec,
        "--period": options.period,
    }
    if options.trainers_per_process > 1:
        found["--trainers-per-process"] = options.trainers_per_process
    return [str(item) for pair in found.items() for item in pair]


def follow(root: Path, first: int, count: int, on_block: Callable[[int], None] = lambda _: None) -> list[float]:
    """Return when this process heard of blocks ``first`` to ``first + count``, in monotonic seconds."""
    client = LedgerClient(load_plan(root).ledgers)
    times: list[float] = []
    try:
        for block in client.follow(max(1, first)):
            times.append(time.monotonic())
            on_block(block.height)
            if len(times) > count:
                return times
    finally:
        client.close()
    raise SystemExit("The ledger ended the stream of blocks.")


def measure(root: Path, rounds: int) -> Rounds:
    """Measure ``rounds`` rounds of a running system, after a warm-up."""
    follow(root, WARM_UP, 0)
    before, bytes_before = measure_usage(list_processes(root)), count_bytes(root)
    client = LedgerClient(load_plan(root).ledgers)
    head = client.get_head()
    client.close()
    assert head is not None
    first = head.height + 1  # the first one ends a round that was under way when the meters were read
    times = follow(root, first, rounds)
    after, bytes_after = measure_usage(list_processes(root)), count_bytes(root)
    return Rounds(
        [later - earlier for earlier, later in itertools.pairwise(times)],
        {role: (after[role].cpu_s - before[role].cpu_s) / (rounds + 1) for role in before},
        {role: usage.rss_mib for role, usage in after.items()},
        {path: size / (rounds + 1) for path, size in subtract_bytes(bytes_after, bytes_before).items()},
        first,
        first + rounds,
    )


def summarise(codec: str, found: Rounds, stages: Stages) -> dict[str, float]:
    """Return the figures of one codec under keys that begin with its name."""
    seconds = sorted(found.seconds)
    figures = {
        "round_s": statistics.median(seconds),
        "round_s_min": seconds[0],
        "round_p99_s": seconds[min(len(seconds) - 1, int(len(seconds) * 0.99))],
        "rounds": len(seconds),
        "round_cpu_s": sum(found.cpu_s.values()),
        "rss_mib": sum(found.rss_mib.values()),
        "explained": stages.explained,
    }
    return {f"{codec}_{name}": value for name, value in figures.items()}


def print_tables(found: Rounds, stages: Stages) -> None:
    def table(title: str, rows: dict[str, float], unit: str, scale: float = 1) -> None:
        print(f"\n{title}")
        for name, value in rows.items():
            print(f"  {value * scale:10.1f} {unit}  {name}")

    table("Where a round's time goes (medians)", stages.seconds, "ms", 1e3)
    print(f"  {stages.explained:10.1%}     of the median round")
    table("CPU time a round", found.cpu_s, "ms", 1e3)
    table("Memory", found.rss_mib, "MiB")
    table("Bytes a round, as each server counts them", found.sent_bytes, "MB", 1e-6)


def run_codec(codec: str, options: argparse.Namespace) -> tuple[Rounds, Stages]:
    """Start a system of its own for one codec, measure it and stop it."""
    folder = Path(tempfile.mkdtemp(prefix="flobc-bench-"))
    asked = build_options(codec, options)
    try:
        with running_system(folder / "chain", asked) as root:
            found = measure(root, options.rounds)
            return found, read_stages(root, found.first + 1, found.last)
    finally:
        if options.keep:
            print(f"The system is in {folder}.", file=sys.stderr)
        else:
            shutil.rmtree(folder, ignore_errors=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--codec", action="append", choices=("float32", "int16", "int8"), help="int16 and int8 if none")
    parser.add_argument("--sync", default="bsp")
    parser.add_argument("--aggregator", default="weighted_mean", help="as Flower's FedAvg unless given")
    parser.add_argument("--period", type=int, default=60)
    parser.add_argument("--trainers-per-process", type=int, default=1)
    parser.add_argument("--keep", action="store_true", help="leave the system's directory for a closer look")
    options = parser.parse_args()
    figures: dict[str, float] = {}
    for codec in options.codec or ("int16", "int8"):
        with contextlib.redirect_stdout(sys.stderr):  # what ``flobc up`` says is not the result
            found, stages = run_codec(codec, options)
        figures |= summarise(codec, found, stages)
        if not options.json:
            print(f"\n{codec}")
            print_tables(found, stages)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
