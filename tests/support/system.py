"""A whole system on real servers that tests may hurt: kill, freeze, wipe, and see what becomes of the chain."""

from __future__ import annotations

import os
import re
import shutil
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from flobc.adapters.grpc import LedgerClient
from flobc.adapters.kafka import KafkaSettings, KafkaTopic
from flobc.adapters.redis import RedisClient, RedisSettings, connect
from flobc.cli.main import main
from flobc.composition.archive import open_archive
from flobc.composition.local.kafka import LocalKafka
from flobc.composition.local.kafka_runner import find_runner
from flobc.composition.local.plan import Plan, get_process, get_server, list_processes, load_plan
from flobc.composition.local.process import DetachedProcess
from flobc.composition.local.redis import LocalRedis
from flobc.composition.local.system import start_system
from flobc.composition.run_directory import load_genesis
from flobc.composition.services.parts import get_topic_names
from flobc.composition.verification import VerifyReport, verify_chain
from flobc.errors import TransientError, UsageError
from flobc.protocol.chain.block import compute_header_digest
from tests.support.freezing import frozen

PATIENCE_S = 120.0
"""For what must happen; a busy machine is not a failing test."""
POLL_S = 0.05
TASK = "tests.support.paced_task:task"
TRAINERS, VALIDATORS, LEDGERS = 2, 4, 2
PERIOD_S = 2
OPTIONS = ("--task", TASK, "--trainers", str(TRAINERS), "--validators", str(VALIDATORS), "--period", str(PERIOD_S))
SERVERS = ("kafka", "redis")
_HEIGHT = re.compile(r'"height": (\d+)|caught up at height (\d+)|an update from base (\d+)')
_LAST_BYTES = 8_192


class WholeSystem:
    """What ``flobc up`` started in ``root``; services and servers go by the names of ``flobc status``."""

    def __init__(
        self, root: Path, options: Sequence[str] = OPTIONS, ledgers: int = LEDGERS, explorer: bool = False
    ) -> None:
        self.root = root
        self._explorer = explorer
        self._options, self._ledgers = options, ledgers
        self.rounds_s: list[float] = []
        self._checked = 0

    @property
    def plan(self) -> Plan:
        return load_plan(self.root)

    def up(self) -> None:
        assert (
            main(
                [
                    "up",
                    "--dir",
                    str(self.root),
                    *self._options,
                    "--ledgers",
                    str(self._ledgers),
                    *([] if self._explorer else ["--no-explorer"]),
                    "--quiet",
                ]
            )
            == 0
        )

    def down(self) -> None:
        assert main(["down", "--dir", str(self.root), "--quiet"]) == 0

    def list_processes(self) -> dict[str, int | None]:
        return list_processes(self.root)

    def list_names(self, *roles: str) -> list[str]:
        """Names of the processes of these roles."""
        return [f"{role}-{index}" for role, index in self.plan.list_nodes() if role in roles]

    def kill(self, name: str) -> None:
        """End a process with kill -9."""
        if name == "kafka":
            address, process = self.plan.kafka, self.get_process(name)
            LocalKafka(address, process, find_runner(self.root / name, int(address.rpartition(":")[2]))).kill()
        elif name == "redis":
            LocalRedis(self.plan.redis, self.get_process(name)).kill()
        else:
            self.get_process(name).kill()
        assert self.get_process(name).pid is None

    def restart(self) -> None:
        """Start whatever does not run, and return when it is ready."""
        start_system(self.root, self._ledgers, lambda _: None)

    @contextmanager
    def paused(self, *names: str) -> Iterator[None]:
        """Processes that exist and do nothing, as on a machine that hangs."""
        numbers = [pid for name in names if (pid := self.get_process(name).pid) is not None]
        with frozen(*numbers):
            yield

    def get_process(self, name: str) -> DetachedProcess:
        if name in SERVERS:
            return get_server(self.root, name)
        role, _, index = name.partition("-")
        return get_process(self.root, role, int(index))

    def read_progress(self, name: str) -> int:
        """The newest height that a service's log speaks of; -1 when there is none."""
        with self.get_process(name).log.open("rb") as log:
            log.seek(max(0, log.seek(0, os.SEEK_END) - _LAST_BYTES))
            text = log.read().decode(errors="replace")
        found = [int(next(filter(None, match.groups()))) for match in _HEIGHT.finditer(text)]
        return found[-1] if found else -1

    def read_heads(self) -> list[tuple[int, bytes]]:
        """Height and header digest of the newest block of each ledger. **Raises** TransientError."""
        heads = []
        for address in self.plan.ledgers:
            client = LedgerClient((address,))
            try:
                head = client.get_head()
            finally:
                client.close()
            heads.append((0, b"") if head is None else (head.height, compute_header_digest(head.header)))
        return heads

    def read_height(self) -> int:
        """The height that the ledgers tell, whichever of them answer; -1 while none does."""
        client = LedgerClient(self.plan.ledgers)
        try:
            head = client.get_head()
        except TransientError:
            return -1
        finally:
            client.close()
        return 0 if head is None else head.height

    def wait_until(self, what: str, is_so: Callable[[], bool], timeout_s: float = PATIENCE_S) -> float:
        """Wait for a condition and return how long it took in seconds; fails with every process's last words."""
        start_s = time.monotonic()
        while not is_so():
            if time.monotonic() - start_s > timeout_s:
                words = "\n".join(
                    f"{name}: {self.get_process(name).read_last_lines()}" for name in self.list_processes()
                )
                pytest.fail(f"After {timeout_s:.0f} s still not: {what}\n{words}")
            time.sleep(POLL_S)
        return time.monotonic() - start_s

    def wait_for_height(self, height: int, timeout_s: float = PATIENCE_S) -> float:
        return self.wait_until(f"block {height}", lambda: self.read_height() >= height, timeout_s)

    def wait_for_progress(self, name: str, height: int) -> float:
        return self.wait_until(f"{name} at height {height}", lambda: self.read_progress(name) >= height)

    def wait_for_blocks(self, count: int) -> float:
        """Wait until the chain has so many blocks more than now."""
        return self.wait_for_height(max(0, self.read_height()) + count)

    def measure_rounds(self, count: int) -> None:
        """Take the times between blocks while nobody hurts anything."""
        for _ in range(count):
            self.rounds_s.append(self.wait_for_blocks(1))

    def report_recovery(self, fault: str, seconds: float) -> None:
        median_s = statistics.median(self.rounds_s)
        print(f"recovery: {fault}: {seconds:.1f} s, {seconds / median_s:.1f} rounds of {median_s:.2f} s")

    def check(self) -> VerifyReport:
        """Verify the whole chain, every model recomputed, while the trainers rest; nobody stands convicted."""
        with self.paused(*self.list_names("trainer")):
            self.wait_for_agreement()
            archive = open_archive(self.root)
            try:
                report = verify_chain(archive, full=True)
                for height in range(self._checked + 1, archive.height + 1):
                    block = archive.block(height)
                    assert block is not None
                    assert not block.body.evidence, f"block {height} convicts somebody"
                self._checked = archive.height
            finally:
                archive.close()  # type: ignore[attr-defined]
        assert report.complete, report.warnings
        return report

    def wait_for_agreement(self) -> list[tuple[int, bytes]]:
        """Wait until all ledgers have the same head and nothing comes any more; for while the trainers rest."""
        found: list[list[tuple[int, bytes]]] = [[]]

        def is_quiet() -> bool:
            before = found[0]
            try:
                found[0] = self.read_heads()
            except TransientError:
                return False
            time.sleep(0.5)
            return len(set(found[0])) == 1 and found[0] == before

        self.wait_until("agreement of the ledgers", is_quiet)
        return found[0]

    @contextmanager
    def open_topics(self) -> Iterator[tuple[KafkaTopic, KafkaTopic]]:
        """The chain's topics, log and updates, as a stranger with access has them."""
        settings = KafkaSettings(self.plan.kafka, "stranger")
        topics = [KafkaTopic(settings, name) for name in get_topic_names(load_genesis(self.root))]
        try:
            yield topics[0], topics[1]
        finally:
            for topic in topics:
                topic.close(5)

    @contextmanager
    def open_redis(self) -> Iterator[RedisClient]:
        client = connect(RedisSettings.from_url(self.plan.redis, "flobc"))
        try:
            yield client
        finally:
            client.close()


@contextmanager
def whole_system(
    root: Path, options: Sequence[str] = OPTIONS, ledgers: int = LEDGERS, explorer: bool = False
) -> Iterator[WholeSystem]:
    """A system for tests that is stopped at their end; skips where there is no Kafka or Redis."""
    system = WholeSystem(root, options, ledgers, explorer)
    with running(system, system.up):
        yield system


@contextmanager
def running(system: WholeSystem, start: Callable[[], None]) -> Iterator[None]:
    """Start a system, and stop it in the end; skips where there is no Kafka or Redis."""
    if os.environ.get("FLOBC_TEST_REDIS"):
        pytest.skip("These tests kill their Redis, and FLOBC_TEST_REDIS names one that is not theirs.")
    try:
        find_runner(system.root, 0)
        if not (shutil.which("redis-server") or shutil.which("valkey-server")):
            pytest.skip("There is no redis-server or valkey-server on the PATH.")
        start()
        yield
    except UsageError as error:
        pytest.skip(str(error))
    finally:
        if (system.root / "system.json").exists():
            system.down()
