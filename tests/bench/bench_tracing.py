"""What tracing costs: the spans of a round times what one takes, beside all CPU seconds of the round.

The services run as in ``bench_metrics``, each with a tracer that writes its spans into a file: more than making
ids alone. One span is measured from its begin to its line in the file; looking into records for what they belong to is
measured where it is done. Exits with 1 when all of it takes more than 1 % of a round.
"""

from __future__ import annotations

import argparse
import functools
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from flobc.adapters.opentelemetry import SdkTracer, open_tracer
from flobc.composition.local.kafka import start_kafka
from flobc.composition.local.redis import start_redis
from flobc.composition.local.system import create_system
from flobc.composition.services import tracing
from flobc.composition.services.settings import ServiceSettings
from flobc.composition.settings import RunSettings
from tests.bench import bench_metrics
from tests.bench.bench_metrics import MOST_SHARE, WARM_UP, Calls, start_services, wait_for_height
from tests.support.spans import TRACE

REPEATS = 20_000
ROLES = ("trainer", "validator", "ledger")


class Spans:
    """Counts every span that is begun, and adds up the seconds of looking into records."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.looking_s = 0.0
        self._adding = threading.Lock()
        start, decode = SdkTracer.start, tracing.decode_record

        def start_counted(tracer: SdkTracer, name: str, *arguments: Any, **attributes: Any) -> Any:
            self.counts[name] += 1
            return start(tracer, name, *arguments, **attributes)

        def decode_timed(value: bytes) -> Any:
            begun_s = time.thread_time()
            try:
                return decode(value)
            finally:
                with self._adding:
                    self.looking_s += time.thread_time() - begun_s

        SdkTracer.start = start_counted  # type: ignore[method-assign]
        tracing.decode_record = decode_timed


def measure_span(directory: Path) -> float:
    """CPU seconds of one span with what most have: a parent, attributes, and a line in a file."""
    tracer = open_tracer("flobc-validator", "here", directory / "spans.jsonl")
    start_s = time.process_time()
    for number in range(REPEATS):
        tracer.start("vote", TRACE, update="3f" * 32, score=number, fault="none").end()
        if number % 500 == 0:
            time.sleep(0.01)  # or the queue would run over, and what is dropped costs nothing
    tracer.close()
    spent_s = time.process_time() - start_s
    written = len((directory / "spans.jsonl").read_text().splitlines())
    if written != REPEATS:
        sys.exit(f"Of {REPEATS} spans {written} were written; their cost is not known.")
    return spent_s / REPEATS


def trace_services(directory: Path) -> None:
    """Let ``start_services`` start traced services."""
    numbers = iter(range(1_000_000))
    for role in ROLES:
        run = getattr(bench_metrics, f"run_{role}")

        def run_traced(settings: ServiceSettings, loop: Any, role: str = role, run: Any = run) -> None:
            told = settings.model_copy(update={"traces_file": directory / f"{role}-{next(numbers)}.jsonl"})
            tracing.traced(f"flobc-{role}", run)(told, loop)

        setattr(bench_metrics, f"run_{role}", functools.wraps(run)(run_traced))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--task", default="digits")
    parser.add_argument("--trainers", type=int, default=6)
    parser.add_argument("--validators", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory:
        root = Path(directory) / "chain"
        root.mkdir()
        span_s = measure_span(Path(directory))
        spans, calls = Spans(), Calls()
        trace_services(Path(directory) / "traces")
        settings = RunSettings(task=options.task, trainers=options.trainers, validators=options.validators)
        create_system(root, settings, 1)
        kafka, redis = start_kafka(root / "kafka"), start_redis(root / "redis")
        try:
            loops = start_services(root, settings, kafka.address, redis.address)
            wait_for_height(loops[0], WARM_UP)
            begun_s, begun, looked_s = calls.read_cpu_s(), spans.counts.copy(), spans.looking_s
            wait_for_height(loops[0], WARM_UP + options.rounds)
            cpu_s = (calls.read_cpu_s() - begun_s) / options.rounds
            found = {name: count / options.rounds for name, count in (spans.counts - begun).items()}
            looking_s = (spans.looking_s - looked_s) / options.rounds
            for loop in loops:
                loop.stop()
            for scorer in calls.scorers:
                scorer.close()
        finally:
            redis.stop()
            kafka.stop()
    for name, count in sorted(found.items()):
        print(f"{name:>16}: {count:6.1f} spans a round")
    spent_s = sum(found.values()) * span_s + looking_s
    print(f"one span {span_s * 1e6:.1f} us; looking into records {looking_s * 1e3:.2f} ms a round")
    print(f"tracing: {spent_s * 1e3:.2f} ms of {cpu_s * 1e3:.0f} ms CPU a round: {spent_s / cpu_s:.2%}")
    sys.exit(0 if spent_s <= MOST_SHARE * cpu_s else 1)


if __name__ == "__main__":
    main()
