"""Time rounds of plain FedAvg over many really learning clients in Flower's Ray simulation; prints one JSON object.

Runs in the peer's environment (``.bench/venv``); torch comes from the project's, named by FLOBC_BENCH_PACKAGES. The
clients train what ``bench_simulation.py`` trains, with the same code. Nothing is scored, signed or certified here.
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

import flwr
import ray
from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg
from flwr.simulation import run_simulation

from tests.bench import (
    flower_quiet,  # noqa: F401  (sets what flwr reads when imported)
    virtual_trainers,
)


def build_client_app(trainers: int) -> ClientApp:
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        client = int(context.node_config["partition-id"])
        weights = message.content["arrays"]["weights"].numpy()
        trained, examples = virtual_trainers.train_client(weights, client, trainers, seed=client)
        content = RecordDict(
            {
                "arrays": ArrayRecord({"weights": Array(trained)}),
                "metrics": MetricRecord({"num-examples": examples}),
            }
        )
        return Message(content=content, reply_to=message)

    return app


def build_server_app(options: argparse.Namespace, stamps_s: list[float], accuracies: list[float]) -> ServerApp:
    app = ServerApp()

    @app.main()
    def main(grid: Grid, context: Context) -> None:
        def take_time(server_round: int, record: ArrayRecord) -> None:
            stamps_s.append(time.perf_counter())
            if server_round == options.rounds:
                accuracies.append(virtual_trainers.measure_accuracy(record["weights"].numpy(), options.trainers))

        if options.pull_interval_s is not None:
            grid.pull_interval = options.pull_interval_s
        strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=options.trainers, min_available_nodes=options.trainers)
        strategy.start(
            grid=grid,
            initial_arrays=ArrayRecord({"weights": Array(virtual_trainers.get_initial(options.trainers))}),
            num_rounds=options.rounds,
            timeout=options.timeout_s,
            evaluate_fn=take_time,
        )

    return app


def parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--trainers", type=int, default=virtual_trainers.TRAINERS)
    parser.add_argument("--rounds", type=int, default=5, help="one costs like the other; the first does not count")
    parser.add_argument("--client-cpus", type=float, default=1, help="cores per client; 1 fills the machine")
    parser.add_argument("--pull-interval-s", type=float, help="how often the server looks for replies; as shipped: 0.1")
    parser.add_argument("--timeout-s", type=float, default=3_600, help="the whole program stops after this")
    parser.add_argument("--json", action="store_true", help="accepted for symmetry; the output is JSON")
    return parser.parse_args()


def main() -> None:
    options = parse_options()
    faulthandler.dump_traceback_later(options.timeout_s, exit=True)
    logging.getLogger("flwr").setLevel(logging.ERROR)
    stamps_s: list[float] = []
    accuracies: list[float] = []
    run_simulation(
        server_app=build_server_app(options, stamps_s, accuracies),
        client_app=build_client_app(options.trainers),
        num_supernodes=options.trainers,
        backend_config={
            "client_resources": {"num_cpus": options.client_cpus, "num_gpus": 0.0},
            "init_args": {"log_to_driver": False, "logging_level": "ERROR"},
        },
    )
    if not accuracies:
        raise SystemExit(f"Flower's simulation ended before round {options.rounds}; its log above says why.")
    rounds_s = [after - before for before, after in itertools.pairwise(stamps_s)]
    counted_s = rounds_s[1:] or rounds_s
    report = {
        "flwr": flwr.__version__,
        "ray": ray.__version__,
        "trainers": options.trainers,
        "round_s": statistics.median(counted_s),
        "round_s_min": min(counted_s),
        "rounds_s": [round(seconds, 3) for seconds in rounds_s],
        "accuracy": accuracies[0],
    }
    sys.stdout.write(json.dumps(report) + "\n")


if __name__ == "__main__":
    main()
