"""The client of the deployment benchmark: noise in place of training, as in ``flower_simulation.py``."""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from tests.bench import arrays

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
