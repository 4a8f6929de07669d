"""What counting costs: the calls of a round times what one of each kind takes, beside all CPU seconds of the round.

Ledgers, validators and trainers run as in ``flobc up``, on a real Kafka and Redis, but on threads of this process,
so that every call can be counted; scoring processes are their own and count nothing. Exits with 1 when counting takes
more than 1 % of a round.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from flobc.adapters.prometheus import Metrics
from flobc.composition.local.kafka import start_kafka
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.redis import start_redis
from flobc.composition.local.system import create_system
from flobc.composition.services.gauges import read_usage
from flobc.composition.services.ledger import run_ledger
from flobc.composition.services.parts import Loop
from flobc.composition.services.scoring import ScoringProcesses
from flobc.composition.services.settings import LedgerSettings, TrainerSettings, ValidatorSettings
from flobc.composition.services.trainer import run_trainer
from flobc.composition.services.validator import run_validator
from flobc.composition.settings import RunSettings
from flobc.runtime.worker_threads import prepare_worker

HOST = "127.0.0.1"
WARM_UP = 3
PATIENCE_S = 300.0
MOST_SHARE = 0.01
REPEATS = 100_000
METHODS = ("add", "set", "observe")


class Calls:
    """Counts every call of a service's metrics, and knows the scoring processes."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.scorers: list[ScoringProcesses] = []
        for name in METHODS:
            setattr(Metrics, name, self._wrap(name, getattr(Metrics, name)))
        build = ScoringProcesses.__init__

        def build_known(scorer: ScoringProcesses, *arguments: Any) -> None:
            self.scorers.append(scorer)
            build(scorer, *arguments)

        ScoringProcesses.__init__ = build_known  # type: ignore[method-assign]

    def _wrap(self, name: str, function: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(function)
        def counted(*arguments: Any, **labels: Any) -> None:
            self.counts[name] += 1
            function(*arguments, **labels)

        return counted

    def read_cpu_s(self) -> float:
        """CPU seconds of this process and of the scoring processes."""
        workers = [number for scorer in self.scorers for number in scorer.list_workers()]
        return time.process_time() + sum(read_usage(number)[0] for number in workers)


def measure_costs() -> dict[str, float]:
    """Seconds of one call of each kind, with a label as most have it."""
    metrics = Metrics()
    calls: dict[str, Callable[[], None]] = {
        "add": lambda: metrics.add("flobc_updates_decided_total", reason="accepted"),
        "set": lambda: metrics.set("flobc_kafka_lag_records", 1, topic="log"),
        "observe": lambda: metrics.observe("flobc_redis_command_seconds", 0.003, command="get"),
    }
    costs = {}
    for name, call in calls.items():
        start_s = time.thread_time()
        for _ in range(REPEATS):
            call()
        costs[name] = (time.thread_time() - start_s) / REPEATS
    return costs


def start_services(root: Path, settings: RunSettings, kafka: str, redis: str) -> list[Loop]:
    """Every service on a thread of its own; the first of the loops is a ledger's."""
    ledger = f"{HOST}:{find_free_port(HOST)}"
    validators = [f"{HOST}:{find_free_port(HOST)}" for _ in range(settings.validators)]
    common: dict[str, Any] = {"genesis": root / "genesis", "kafka": kafka}
    works: list[Callable[[Loop], None]] = []

    def get_node(role: str, index: int) -> dict[str, Any]:
        node = root / "nodes" / f"{role}-{index}"
        return common | {"data": node, "key": node / "key", "index": index}

    works.append(
        functools.partial(
            run_ledger,
            LedgerSettings(
                **common,
                data=root / "nodes" / "ledger-0",
                listen=ledger,
                redis=redis,
                validators=",".join(validators),
            ),
        )
    )
    for index, address in enumerate(validators):
        node = get_node("validator", index) | {"shards": settings.validators, "listen": address}
        others = ",".join(other for other in validators if other != address)
        works.append(
            functools.partial(
                run_validator, ValidatorSettings(**node, validators=others, initial_model=root / "initial")
            )
        )
    for index in range(settings.trainers):
        node = get_node("trainer", index) | {"shards": settings.trainers}
        works.append(functools.partial(run_trainer, TrainerSettings(**node, ledgers=ledger)))
    loops = []
    for work in works:
        loop = Loop(prepare_worker)
        threading.Thread(target=work, args=(loop,), daemon=True).start()
        loops.append(loop)
    return loops


def wait_for_height(loop: Loop, height: int) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while loop.metrics._metrics["flobc_height"]._value.get() < height:
        if time.monotonic() > until_s:
            sys.exit(f"There is no block {height} after {PATIENCE_S:.0f} s.")
        time.sleep(0.01)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--trainers", type=int, default=6)
    parser.add_argument("--validators", type=int, default=4)
    options = parser.parse_args()
    costs = measure_costs()
    calls = Calls()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "chain"
        root.mkdir()
        settings = RunSettings(task=options.task, trainers=options.trainers, validators=options.validators)
        create_system(root, settings, 1)
        kafka, redis = start_kafka(root / "kafka"), start_redis(root / "redis")
        try:
            loops = start_services(root, settings, kafka.address, redis.address)
            wait_for_height(loops[0], WARM_UP)
            begun_s, begun = calls.read_cpu_s(), calls.counts.copy()
            wait_for_height(loops[0], WARM_UP + options.rounds)
            cpu_s = (calls.read_cpu_s() - begun_s) / options.rounds
            found = {name: (calls.counts - begun)[name] / options.rounds for name in METHODS}
            for loop in loops:
                loop.stop()
            for scorer in calls.scorers:
                scorer.close()
        finally:
            redis.stop()
            kafka.stop()
    spent_s = sum(found[name] * costs[name] for name in METHODS)
    for name in METHODS:
        print(f"{name:>8}: {found[name]:7.0f} calls a round of {costs[name] * 1e6:5.2f} us")
    print(f"counting: {spent_s * 1e3:7.2f} ms of {cpu_s * 1e3:.0f} ms CPU a round: {spent_s / cpu_s:.2%}")
    sys.exit(0 if spent_s <= MOST_SHARE * cpu_s else 1)


if __name__ == "__main__":
    main()
