"""An explorer under load: many viewers of a long chain that goes on, each with a live stream, turning pages.

Ledger, explorer and viewers are processes of their own on this machine. Prints one JSON object: percentiles of the
time from a request to the whole answer, the cores that the explorer kept busy, its memory at the start and at the end
of the load, how long three pages take on the long chain and on a short one, and how long a start takes that takes in
the chain, and a later one that goes on with its index: from the process's begin until every block is there.

Usage: python -m tests.bench.bench_explorer [--blocks 10000] [--viewers 200] [--seconds 60]
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from flobc.adapters.grpc import LedgerServer
from flobc.composition.local.ports import find_free_port
from flobc.protocol.encoding import encode
from tests.bench.machine import format_machine, get_machine
from tests.bench.made_chain import MadeChain

SHORT = 10
THINKING_S = (2.0, 6.0)
"""How long a viewer looks at a page."""
ROUND_S = 1.0
READY_S = 900.0


def serve_ledger(folder: Path, blocks: int) -> None:
    """Be a ledger whose chain has so many blocks and grows by one a round."""
    chain = MadeChain()
    chain.grow(blocks)
    (folder / "genesis").write_bytes(encode(chain.genesis))
    server = LedgerServer(chain.genesis, chain.blocks, chain.states, chain.models)
    address = server.start("127.0.0.1:0")
    (folder / "address.new").write_text(address)
    (folder / "address.new").rename(folder / "address")
    while True:
        time.sleep(ROUND_S)
        if (folder / "grow").exists():
            chain.grow(1)
            server.notify(chain.blocks.height)


@contextlib.contextmanager
def running(command: list[str], log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, env={**os.environ, **variables})
        try:
            yield process
        finally:
            process.terminate()
            process.wait(30)


@contextlib.contextmanager
def explored(folder: Path, blocks: int) -> Iterator[tuple[str, int, float, float]]:
    """An explorer that knows a chain of so many blocks: its address, its number, and how long two starts took."""
    folder.mkdir()
    port = find_free_port()
    ledger = [sys.executable, "-m", "tests.bench.bench_explorer", "--serve", str(folder), "--blocks", str(blocks)]
    with running(ledger, folder / "ledger.log") as served:
        wait_for((folder / "address").exists, served)
        variables = {
            "FLOBC_GENESIS": str(folder / "genesis"),
            "FLOBC_LEDGERS": (folder / "address").read_text(),
            "FLOBC_LISTEN": f"127.0.0.1:{port}",
            "FLOBC_DATA": str(folder / "index"),
            "OMP_NUM_THREADS": "1",
        }
        explorer = [sys.executable, "-m", "services.explorer.main"]
        times = []
        for is_last in (False, True):
            start_s = time.monotonic()
            with running(explorer, folder / "explorer.log", **variables) as process:
                wait_for(lambda: is_ready(port), process)
                times.append(time.monotonic() - start_s)
                if is_last:
                    yield f"127.0.0.1:{port}", process.pid, times[0], times[1]


def wait_for(condition, process: subprocess.Popen[bytes]) -> None:  # type: ignore[no-untyped-def]
    until_s = time.monotonic() + READY_S
    while not condition():
        if process.poll() is not None or time.monotonic() > until_s:
            raise SystemExit(f"{process.args} ended or took too long.")
        time.sleep(0.02)


def is_ready(port: int) -> bool:
    try:
        return asyncio.run(Viewer(f"127.0.0.1:{port}").get("/readyz"))[0] == 200
    except OSError:
        return False


class Viewer:
    """A connection that is kept, as browsers keep theirs; as little work as can be, for it shares the machine."""

    def __init__(self, address: str) -> None:
        self._host, _, port = address.rpartition(":")
        self._port = int(port)
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str) -> tuple[int, bytes]:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next((line for line in head.lower().splitlines() if line.startswith("content-length:")), None)
        body = b"" if length is None else await reader.readexactly(int(length.partition(":")[2]))
        return int(head.split()[1]), body

    async def watch(self, seen: list[int]) -> None:
        """Read a live stream and count its events."""
        reader, writer = await asyncio.open_connection(self._host, self._port, limit=2**22)
        writer.write(f"GET /events HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        try:
            while line := await reader.readline():
                if line.startswith(b"data: "):
                    seen[0] += 1
        finally:
            writer.close()


def list_paths(blocks: int, pages: str) -> list[str]:
    """What viewers look at: mostly the overview and blocks, with all else that there is."""
    links = [part.partition('"')[0] for part in pages.split('href="')[1:]]
    some = [link for link in links if link.startswith(("/updates/", "/trainers/", "/validators/"))]
    heights = [f"/blocks/{random.randrange(1, blocks + 1)}" for _ in range(200)]
    return (
        ["/"] * 60
        + heights
        + some * 3
        + ["/training", "/blocks", "/trainers", "/validators", f"/blocks?before={blocks // 2}"] * 10
    )


async def load(address: str, viewers: int, seconds: float, paths: list[str]) -> tuple[list[tuple[str, float]], int]:
    times: list[tuple[str, float]] = []
    events = [0]
    until_s = time.monotonic() + seconds

    async def view(number: int) -> None:
        viewer = Viewer(address)
        watching = asyncio.create_task(Viewer(address).watch(events))
        choice = random.Random(number)
        await asyncio.sleep(choice.uniform(0, THINKING_S[1]))
        while time.monotonic() < until_s:
            path = choice.choice(paths)
            start_s = time.monotonic()
            status, _ = await viewer.get(path)
            times.append((path, time.monotonic() - start_s))
            assert status == 200, (path, status)
            await asyncio.sleep(choice.uniform(*THINKING_S))
        watching.cancel()

    await asyncio.gather(*(view(number) for number in range(viewers)))
    return times, events[0]


def read_memory_mib(pid: int) -> float:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.partition("VmRSS:")[2].split()[0]) / 1024


def read_cpu_s(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def time_overview(address: str) -> float:
    async def ask() -> float:
        viewer, times = Viewer(address), []
        for _ in range(20):
            start_s = time.monotonic()
            await viewer.get("/blocks")
            await viewer.get("/training")
            await viewer.get("/")
            times.append(time.monotonic() - start_s)
        return statistics.median(times)

    return asyncio.run(ask())


def measure(blocks: int, viewers: int, seconds: float) -> dict[str, float]:
    random.seed(0)
    with TemporaryDirectory() as name:
        folder = Path(name)
        with explored(folder / "short", SHORT) as (address, _, _, open_short_s):
            short_s = time_overview(address)
        with explored(folder / "long", blocks) as (address, pid, index_s, open_s):
            long_s = time_overview(address)
            pages = b"".join(asyncio.run(Viewer(address).get(path))[1] for path in ("/", "/trainers", "/validators"))
            paths = list_paths(blocks, pages.decode())
            (folder / "long" / "grow").touch()
            # the first load fills caches and pools: from then on memory is to stay
            asyncio.run(load(address, viewers, seconds / 4, paths))
            before_mib = read_memory_mib(pid)
            cpu_s, start_s = read_cpu_s(pid), time.monotonic()
            times, events = asyncio.run(load(address, viewers, seconds, paths))
            cores = (read_cpu_s(pid) - cpu_s) / (time.monotonic() - start_s)
            after_mib = read_memory_mib(pid)
    found = sorted(taken_s for _, taken_s in times)
    return {
        "blocks": blocks,
        "viewers": viewers,
        "requests": len(found),
        "events": events,
        "p50_ms": round(1000 * found[len(found) // 2], 1),
        "p95_ms": round(1000 * found[len(found) * 95 // 100], 1),
        "p99_ms": round(1000 * found[len(found) * 99 // 100], 1),
        "explorer_cores": round(cores, 2),
        "memory_before_mib": round(before_mib, 1),
        "memory_after_mib": round(after_mib, 1),
        "index_s": round(index_s, 1),
        "open_short_s": round(open_short_s, 2),
        "open_long_s": round(open_s, 2),
        "three_pages_short_ms": round(1000 * short_s, 1),
        "three_pages_long_ms": round(1000 * long_s, 1),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--blocks", type=int, default=10_000)
    parser.add_argument("--viewers", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    parser.add_argument("--json", action="store_true", help="only the JSON object")
    parser.add_argument("--serve", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.serve is not None:
        serve_ledger(options.serve, options.blocks)
    if not options.json:
        print(format_machine(get_machine()), file=sys.stderr)
    print(json.dumps(measure(options.blocks, options.viewers, options.seconds), indent=2))


if __name__ == "__main__":
    main()
