"""Time one round of the embedded run: everything but learning, with a stage table.

Ten trainers, four validators, 1.2 M parameters, int16, trivial training. Prints one JSON object with
``--json``; otherwise the median round and where its time goes.
"""

from __future__ import annotations

import argparse
import functools
import json
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from typing import Any

from flobc.composition.reports import RoundReport, SilentObserver
from flobc.composition.runner import run
from flobc.composition.settings import RunSettings
from flobc.protocol.params import ChainParams
from flobc.protocol.sync.params import SyncParams
from flobc.runtime import engine, follower, trainer_node, validator_node

TRAINERS = 10
VALIDATORS = 4
PARAMETERS = 1_200_000
WARM_UP = 8

STAGES: tuple[tuple[str, Any, str], ...] = (
    ("train (trivial)", engine.LearningEngine, "train"),
    ("encode and hash", engine.LearningEngine, "encode"),
    ("decode, norm, candidate", engine.LearningEngine, "prepare"),
    ("evaluate candidates", engine.LearningEngine, "evaluate_vectors"),
    ("aggregate, hash model", engine.LearningEngine, "aggregate"),
    ("log and state machine", follower.ChainFollower, "publish"),
    ("validator duties (with log)", validator_node.ValidatorNode, "step"),
    ("trainer duties", trainer_node.TrainerNode, "step"),
)


class Stopwatch:
    """Adds up the thread seconds that each stage takes, over all threads."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._lock = threading.Lock()

    def wrap(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def timed(*args: Any, **kwargs: Any) -> Any:
            start = time.thread_time()
            try:
                return function(*args, **kwargs)
            finally:
                with self._lock:
                    self.seconds[name] += time.thread_time() - start

        return timed


class Rounds(SilentObserver):
    """Collects the wall seconds of each round, and tells when those that count begin."""

    def __init__(self, on_warm: Callable[[], None]) -> None:
        self.seconds: list[float] = []
        self._on_warm = on_warm

    def on_round(self, report: RoundReport) -> None:
        self.seconds.append(report.seconds)
        if len(self.seconds) == WARM_UP:
            self._on_warm()


def build_settings(rounds: int, codec: str) -> RunSettings:
    return RunSettings(
        task=f"synthetic:parameters={PARAMETERS}",
        trainers=TRAINERS,
        validators=VALIDATORS,
        rounds=rounds,
        params=ChainParams(sync=SyncParams(scheme="bsp"), codec=codec),
    )


def measure(rounds: int, codec: str, on_warm: Callable[[], None] = lambda: None) -> tuple[list[float], float]:
    """Return the counted rounds' wall seconds and the process's CPU seconds per round."""
    warm_cpu_s = 0.0

    def begin() -> None:
        nonlocal warm_cpu_s
        warm_cpu_s = time.process_time()
        on_warm()

    observer = Rounds(begin)
    run(build_settings(WARM_UP + rounds, codec), observer=observer)
    return observer.seconds[WARM_UP:], (time.process_time() - warm_cpu_s) / rounds


def print_stages(rounds: int, codec: str) -> None:
    watch = Stopwatch()
    for name, owner, attribute in STAGES:
        setattr(owner, attribute, watch.wrap(name, getattr(owner, attribute)))
    seconds, cpu = measure(rounds, codec, watch.seconds.clear)
    median_ms = statistics.median(seconds) * 1e3
    print(f"{'CPU ms a round':>14}  stage (median round {median_ms:.0f} ms, {cpu * 1e3:.0f} ms CPU)")
    for name, value in sorted(watch.seconds.items(), key=lambda item: -item[1]):
        print(f"{value / rounds * 1e3:14.1f}  {name}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rounds", type=int, default=16)
    parser.add_argument("--codec", default="int16")
    options = parser.parse_args()
    if not options.json:
        print_stages(options.rounds, options.codec)
        return
    seconds, cpu = measure(options.rounds, options.codec)
    print(json.dumps({"round_s": statistics.median(seconds), "round_s_min": min(seconds), "round_cpu_s": cpu}))


if __name__ == "__main__":
    main()
