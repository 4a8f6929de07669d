"""The client of the deployment benchmark: noise in place of training, as in ``flower_simulation.py``.

With ``framework = "torch"`` the model is a torch module's, as in the app that Flower's own manual begins with, and as
in the trainers that it is compared with. With ``"numpy"`` nothing but arrays is loaded.
"""

from __future__ import annotations

from flwr.app import Array, ArrayRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from tests.bench import arrays

app = ClientApp()


@app.train()
def train(message: Message, context: Context) -> Message:
    client = int(context.node_config["partition-id"])
    train_arrays = _train_torch if context.run_config["framework"] == "torch" else _train_numpy
    content = RecordDict(
        {
            "arrays": train_arrays(message.content["arrays"], client),
            "metrics": MetricRecord({"num-examples": 100}),
        }
    )
    return Message(content=content, reply_to=message)


def _train_numpy(received: ArrayRecord, client: int) -> ArrayRecord:
    weights = received["weights"].numpy()
    return ArrayRecord({"weights": Array(weights + arrays.build_perturbation(client, weights.size))})


def _train_torch(received: ArrayRecord, client: int) -> ArrayRecord:
    import torch  # noqa: PLC0415  (a client that works on arrays alone must not pay for it)

    model = torch.nn.ParameterDict({"weights": torch.empty(received["weights"].shape)})
    model.load_state_dict(received.to_torch_state_dict())
    with torch.no_grad():
        model["weights"] += torch.from_numpy(arrays.build_perturbation(client, model["weights"].numel()))
    return ArrayRecord(model.state_dict())
