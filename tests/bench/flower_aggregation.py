"""Time Flower's own aggregation on 64 clients x 1.2 M float32 parameters; prints one JSON object.

Runs in the peer's environment (``.bench/venv``). Every key is ``RULE_FORM_s``, the median of the
repeats in seconds, with ``..._min`` beside it. Forms:

* ``arrays``: the strategy's ``aggregate_train`` on replies whose arrays are already decoded;
* ``messages``: the same on replies as they arrive, so decoding the arrays is included;
* ``legacy``: the older functions on lists of ndarrays (``flwr.server.strategy.aggregate``).
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import flwr
import numpy as np
from flwr.app import Array, ArrayRecord, Message, MetricRecord, RecordDict
from flwr.server.strategy import aggregate as legacy
from flwr.serverapp.strategy import FedAvg, FedMedian, FedTrimmedAvg, Krum
from flwr.supercore.task_identity import TaskIdentity
from numpy.typing import NDArray

from tests.bench import (
    arrays,
    flower_quiet,  # noqa: F401  (sets what flwr reads when imported)
)

STRATEGIES: dict[str, Callable[[], FedAvg]] = {
    "fedavg": FedAvg,
    "krum": lambda: Krum(num_malicious_nodes=arrays.BYZANTINE),
    "median": FedMedian,
    "trimmed_mean": lambda: FedTrimmedAvg(beta=arrays.TRIM_SHARE),
}
LEGACY: dict[str, Callable[[list[tuple[list[NDArray], int]]], list[NDArray]]] = {
    "fedavg": legacy.aggregate,
    "krum": lambda results: legacy.aggregate_krum(results, arrays.BYZANTINE, to_keep=0),
    "median": legacy.aggregate_median,
    "trimmed_mean": lambda results: legacy.aggregate_trimmed_avg(results, arrays.TRIM_SHARE),
}
KEYS = tuple(f"{rule}_{form}_s" for rule in STRATEGIES for form in ("arrays", "messages", "legacy"))
# The older krum subtracts every pair of models twice: ten seconds and more, and nobody need use it.
DEFAULT_KEYS = tuple(key for key in KEYS if not key.endswith("_legacy_s") or key == "fedavg_legacy_s")


class DecodedArray(Array):
    """An array whose decoding is already paid for, so that only the aggregation is timed."""

    def __init__(self, ndarray: NDArray[np.float32]) -> None:
        super().__init__(ndarray)
        self._decoded = ndarray

    def numpy(self) -> NDArray[np.float32]:
        return self._decoded


@dataclass(frozen=True)
class Workload:
    """What the clients sent: full models in layers, as Flower ships them, and the numbers of examples."""

    models: list[list[NDArray[np.float32]]]
    num_examples: list[int]

    def encode(self, kind: type[Array]) -> list[dict[str, Array]]:
        return [{f"layer{i}": kind(x) for i, x in enumerate(layers)} for layers in self.models]

    def build_replies(self, encoded: list[dict[str, Array]]) -> list[Message]:
        """Wrap the arrays anew: two of the strategies take them out of the records they are given."""
        return [
            Message(
                RecordDict(
                    {
                        "arrays": ArrayRecord(dict(layers)),
                        "metrics": MetricRecord({"num-examples": examples}),
                    }
                ),
                dst_node_id=client + 1,
                message_type="train",
            )
            for client, (layers, examples) in enumerate(zip(encoded, self.num_examples, strict=True))
        ]


def build_workload(clients: int, parameters: int) -> Workload:
    models = arrays.build_updates(clients, parameters)
    models += arrays.build_weights(parameters)
    return Workload([arrays.split_layers(model) for model in models], arrays.build_num_examples(clients))


def time_calls(prepare: Callable[[], object], call: Callable[[object], object], repeats: int) -> list[float]:
    """Call once to warm up, then ``repeats`` times; only ``call`` is timed. Seconds."""
    call(prepare())
    times_s = []
    for _ in range(repeats):
        prepared = prepare()
        start = time.perf_counter()
        call(prepared)
        times_s.append(time.perf_counter() - start)
    return times_s


def measure(workload: Workload, keys: list[str], repeats: int) -> dict[str, list[float]]:
    times_s: dict[str, list[float]] = {}
    for form, kind in (("arrays", DecodedArray), ("messages", Array)):
        wanted = [key for key in keys if key.endswith(f"_{form}_s")]
        encoded = workload.encode(kind) if wanted else []
        for key in wanted:
            strategy = STRATEGIES[key.removesuffix(f"_{form}_s")]()
            times_s[key] = time_calls(
                lambda encoded=encoded: workload.build_replies(encoded),
                lambda replies, strategy=strategy: _aggregate(strategy, replies),
                repeats,
            )
    results = list(zip(workload.models, workload.num_examples, strict=True))
    for key in (key for key in keys if key.endswith("_legacy_s")):
        times_s[key] = time_calls(lambda: results, LEGACY[key.removesuffix("_legacy_s")], repeats)
    return times_s


def _aggregate(strategy: FedAvg, replies: list[Message]) -> ArrayRecord:
    aggregated, _ = strategy.aggregate_train(1, replies)
    if aggregated is None:
        raise SystemExit(f"{type(strategy).__name__} gave no arrays for {len(replies)} replies; expected one.")
    return aggregated


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--keys", nargs="*", default=DEFAULT_KEYS, choices=KEYS, metavar="KEY")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--clients", type=int, default=arrays.CLIENTS)
    parser.add_argument("--parameters", type=int, default=arrays.PARAMETERS)
    parser.add_argument("--json", action="store_true", help="accepted for symmetry; the output is JSON")
    options = parser.parse_args()
    logging.getLogger("flwr").setLevel(logging.ERROR)
    TaskIdentity.task_id = TaskIdentity.run_id = TaskIdentity.node_id = 1  # a message must say whose it is

    workload = build_workload(options.clients, options.parameters)
    report: dict[str, object] = {
        "flwr": flwr.__version__,
        "numpy": np.__version__,
        "clients": options.clients,
        "parameters": options.parameters,
        "repeats": options.repeats,
    }
    for key, times_s in measure(workload, list(options.keys), options.repeats).items():
        report[key] = statistics.median(times_s)
        report[f"{key}_min"] = min(times_s)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
