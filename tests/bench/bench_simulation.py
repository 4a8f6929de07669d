"""Time ``flobc simulate`` with 1,000 virtual trainers over 20 rounds; prints one JSON object with ``--json``.

Every update is trained, encoded, signed, scored by four validators and certified in a block; then again by one
validator, as the peer has one server. The peer is ``flower_training.py``: the same clients in Flower's Ray
simulation, which trains and averages.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import time

from flobc.composition.reports import RoundReport, SilentObserver
from flobc.simulation.loading import read_world
from flobc.simulation.simulate import simulate
from tests.bench.virtual_trainers import BATCH_SIZE, EPOCHS, ROUNDS, SHARDING, TASK, TRAINERS

VALIDATORS = 4


class Rounds(SilentObserver):
    """Collects the wall seconds of each round."""

    def __init__(self) -> None:
        self.seconds: list[float] = []

    def on_round(self, report: RoundReport) -> None:
        self.seconds.append(report.seconds)


def measure(trainers: int, rounds: int, workers: int, validators: int = VALIDATORS) -> dict[str, float]:
    """Simulate once and return what it cost."""
    text = (
        f"run: {{task: '{TASK}', trainers: {trainers}, validators: {validators}, rounds: {rounds}, sync: bsp}}\n"
        f"training: {{batch_size: {BATCH_SIZE}, epochs: {EPOCHS}}}\ndata: {{sharding: '{SHARDING}'}}"
    )
    start_s, start_cpu_s, observer = time.monotonic(), time.process_time(), Rounds()
    found = simulate(read_world("bench", text), observer=observer, workers=workers)
    return {
        "simulation_s": time.monotonic() - start_s,
        "round_s": statistics.median(observer.seconds),
        "round_s_min": min(observer.seconds),
        "cpu_s": time.process_time() - start_cpu_s,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "test_accuracy": found.results.test_accuracy or 0.0,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--trainers", type=int, default=TRAINERS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--workers", type=int, default=0)
    options = parser.parse_args()
    report = measure(options.trainers, options.rounds, options.workers)
    single = measure(options.trainers, options.rounds, options.workers, validators=1)
    report["single_round_s"] = single["round_s"]
    if options.json:
        print(json.dumps(report))
        return
    for name, value in report.items():
        print(f"{name:>14}  {value:.6g}")


if __name__ == "__main__":
    main()
