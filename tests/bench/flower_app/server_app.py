"""The server of the deployment benchmark: plain FedAvg that notes when each round ended, and with what model.

One JSON line per round is added to the file that the run's ``report`` names: the round, the time on the
machine's monotonic clock, and how far the model is from the mean that all clients should have given.
"""

from __future__ import annotations

import json
import time
from pathlib import Path

import numpy as np
from flwr.app import Array, ArrayRecord, Context
from flwr.serverapp import Grid, ServerApp
from flwr.serverapp.strategy import FedAvg

from tests.bench import arrays

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    clients, parameters = int(context.run_config["clients"]), int(context.run_config["parameters"])
    report = Path(str(context.run_config["report"]))
    weights = arrays.build_weights(parameters)
    step = np.mean([arrays.build_perturbation(client, parameters) for client in range(clients)], axis=0)

    def note_round(server_round: int, record: ArrayRecord) -> None:
        """Called before round one and after each round; the check costs milliseconds of the round after it."""
        at_s = time.monotonic()
        error = float(np.abs(record["weights"].numpy() - (weights + server_round * step)).max())
        with report.open("a", encoding="utf-8") as file:
            file.write(json.dumps({"round": server_round, "at_s": at_s, "error": error}) + "\n")

    strategy = FedAvg(fraction_evaluate=0.0, min_train_nodes=clients, min_available_nodes=clients)
    strategy.start(
        grid=grid,
        initial_arrays=ArrayRecord({"weights": Array(weights)}),
        num_rounds=int(context.run_config["rounds"]),
        evaluate_fn=note_round,
    )
