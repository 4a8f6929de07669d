"""Time one round of plain FedAvg in Flower's Ray simulation; prints one JSON object.

Runs in the peer's environment (``.bench/venv``). Ten clients, all sampled every round, 1.2 M float32
parameters, next to no training, no evaluation: what is left is what a round costs.

The server looks for replies every 0.1 s, so its rounds come in steps of that. Two figures therefore:
``round_s`` as shipped, and ``round_fast_poll_s`` with the look every 5 ms, which flatters the peer. Each is
the median over the rounds after the warm-up, with ``..._min`` and ``..._mean`` beside it.
"""

from __future__ import annotations

import argparse
import faulthandler
import itertools
import json
import logging
import statistics
import sys
import time
from dataclasses import dataclass, field

import flwr
import numpy as np
import ray
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation
from numpy.typing import NDArray

from tests.bench import (
    arrays,
    flower_quiet,  # noqa: F401  (sets what flwr reads when imported)
)


def build_client_app() -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        weights = message.content["arrays"]["weights"].numpy()
        trained = weights + arrays.build_perturbation(client, weights.size)
        content = RecordDict(
            {
                "arrays": ArrayRecord({"weights": Array(trained)}),
                "metrics": MetricRecord({"num-examples": 100}),
            }
        )
        return Message(content=content, reply_to=message)

    return app


@dataclass
class Phase:
    """A run of rounds with one polling interval (seconds; None: as shipped), and what it left behind."""

    key: str
    pull_interval_s: float | None
    stamps_s: list[float] = field(default_factory=list)
    model: NDArray[np.float32] | None = None

    def get_rounds_s(self) -> list[float]:
        return [after - before for before, after in itertools.pairwise(self.stamps_s)]


def build_server_app(options: argparse.Namespace, phases: list[Phase]) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        for phase in phases:
            if phase.pull_interval_s is not None:
                grid.pull_interval = phase.pull_interval_s
            run_phase(options, grid, phase)

    return app


def run_phase(options: argparse.Namespace, grid: Grid, phase: Phase) -> None:
    """Plain FedAvg; its evaluation hook, called before round one and after each round, takes the time."""

    def take_time(server_round: int, record: ArrayRecord) -> None:
        phase.stamps_s.append(time.perf_counter())
        if server_round == options.rounds:
            phase.model = record["weights"].numpy()

    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=options.clients, min_available_nodes=options.clients)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({"weights": Array(arrays.build_weights(options.parameters))}),
        num_rounds=options.rounds,
        timeout=options.timeout_s,
        evaluate_fn=take_time,
    )


def check_model(options: argparse.Namespace, phase: Phase) -> None:
    """Stop unless every client took part in every round: a lost reply would make a round look fast."""
    if phase.model is None:
        raise SystemExit(f"Flower's simulation ended before round {options.rounds}; its log above says why.")
    step = np.mean([arrays.build_perturbation(client, options.parameters) for client in range(options.clients)], axis=0)
    expected = arrays.build_weights(options.parameters) + options.rounds * step
    error = float(np.abs(phase.model - expected).max())
    if error > 1e-5:
        raise SystemExit(f"Flower's model is {error:.2g} away from the mean of all {options.clients} clients.")


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--clients", type=int, default=arrays.ROUND_CLIENTS)
    parser.add_argument("--parameters", type=int, default=arrays.PARAMETERS)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--warm-up", type=int, default=4, help="rounds at the start that do not count")
    parser.add_argument("--client-cpus", type=float, default=1, help="cores per client; 1 fills the machine")
    parser.add_argument("--timeout-s", type=float, default=180, help="the whole program stops after this")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry; the output is JSON")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    faulthandler.dump_traceback_later(options.timeout_s, exit=True)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    phases = [Phase("round", None), Phase("round_fast_poll", 0.005)]
    run_simulation(
        server_app=build_server_app(options, phases),
        client_app=build_client_app(),
        num_supernodes=options.clients,
        backend_config={
            "client_resources": {"num_cpus": options.client_cpus, "num_gpus": 0.0},
            "init_args": {"log_to_driver": False, "logging_level": "ERROR"},
        },
    )
    report: dict[str, object] = {
        "flwr": flwr.__version__,
        "ray": ray.__version__,
        "numpy": np.__version__,
        "clients": options.clients,
        "parameters": options.parameters,
        "client_cpus": options.client_cpus,
    }
    for phase in phases:
        check_model(options, phase)
        counted_s = phase.get_rounds_s()[options.warm_up :]
        report[f"{phase.key}_s"] = statistics.median(counted_s)
        report[f"{phase.key}_s_min"] = min(counted_s)
        report[f"{phase.key}_s_mean"] = statistics.mean(counted_s)
        report[f"{phase.key}s_s"] = [round(seconds, 4) for seconds in phase.get_rounds_s()]
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
