"""Perceptrons computed by hand: the bits of vmap and autograd, and whatever is no perceptron left to those."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from flobc.learning import perceptrons
from flobc.learning.determinism import single_threaded
from flobc.learning.models import build_mlp, build_softmax
from flobc.learning.objectives import OBJECTIVES
from flobc.learning.perceptrons import recognise
from flobc.learning.replica import describe_module
from flobc.learning.vectorised import Ensemble

ENTROPY = OBJECTIVES["cross_entropy"]
CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    single_threaded()


def build_named() -> nn.Module:
    parts = OrderedDict(
        inner=nn.Sequential(nn.Linear(9, 12, bias=False), nn.ReLU()), middle=nn.Linear(12, 7), out=nn.Linear(7, 3)
    )
    return nn.Sequential(parts)


BUILDERS: dict[str, Callable[[], nn.Module]] = {
    "softmax 9": lambda: build_softmax(9, 3),
    "softmax 784": lambda: build_softmax(784, 10),
    "mlp 9": lambda: build_mlp(9, (32,), 3),
    "mlp 64": lambda: build_mlp(64, (32,), 10),
    "mlp 784": lambda: build_mlp(784, (64,), 10),
    "deep": lambda: build_mlp(64, (128, 32), 10),
    "many classes": lambda: build_mlp(9, (16,), 70),
    "named": build_named,
    "no bias": lambda: nn.Sequential(nn.Linear(9, 3, bias=False)),
    "ends in ReLU": lambda: nn.Sequential(nn.Linear(9, 8), nn.ReLU(inplace=True), nn.Linear(8, 4), nn.ReLU()),
}


def build_pair(module: nn.Module) -> tuple[Ensemble, Ensemble, int]:
    """Return one that computes by hand, one that never does, and the length of a vector."""
    info = describe_module(module, 24)
    by_hand, generally = Ensemble(module, info, CPU), Ensemble(module, info, CPU)
    assert by_hand._perceptrons is not None
    generally._perceptrons = None
    return by_hand, generally, info.size


def differentiate(ensemble: Ensemble, stack: Tensor, features: Tensor, labels: Tensor) -> list[bytes]:
    gradients = torch.full_like(stack, 9.0)
    whole = ensemble.split(gradients)
    apart = {name: tensor.contiguous() for name, tensor in whole.items()}
    losses = [
        ensemble.compute_gradients(ensemble.split(stack), features, labels, ENTROPY.loss, found)
        for found in (whole, apart)
    ]
    return [found.numpy().tobytes() for found in (*losses, gradients, *apart.values())]


def read_inputs(module: nn.Module) -> int:
    return next(part.in_features for part in module.modules() if isinstance(part, nn.Linear))


@pytest.mark.parametrize("models", [1, 2, 3, 33])
@pytest.mark.parametrize("name", BUILDERS)
def test_bits_are_those_of_the_general_way(name: str, models: int) -> None:
    module = BUILDERS[name]()
    by_hand, generally, size = build_pair(module)
    generator = torch.Generator().manual_seed(models)
    for batch in (1, 3, 8, 14, 16, 33, 238, 256):
        stack = torch.randn(models, size, generator=generator) * 0.2
        features = torch.randn(models, batch, read_inputs(module), generator=generator)
        labels = torch.randint(0, 3, (models, batch), generator=generator)
        wanted = differentiate(generally, stack, features, labels)
        assert differentiate(by_hand, stack, features, labels) == wanted
        with torch.inference_mode():
            scores = [each.evaluate(stack, features[0], labels[0], ENTROPY) for each in (by_hand, generally)]
        assert scores[0].numpy().tobytes() == scores[1].numpy().tobytes()


def test_where_no_other_form_has_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(perceptrons, "_transposes_alike", lambda *_: False)
    monkeypatch.setattr(perceptrons, "_classes_may_come_first", lambda _: False)
    test_bits_are_those_of_the_general_way("mlp 64", 3)
    test_bits_are_those_of_the_general_way("named", 3)


def test_images_are_flattened_and_equal_outputs_go_to_the_first_class() -> None:
    by_hand, generally, size = build_pair(build_mlp(64, (8,), 5))
    stack, features = torch.zeros(3, size), torch.randn(20, 1, 8, 8)
    stack[1] = torch.nan
    stack[2, -1] = torch.inf
    labels = torch.arange(20) % 5
    with torch.inference_mode():
        scores = [each.evaluate(stack, features, labels, ENTROPY).numpy() for each in (by_hand, generally)]
    np.testing.assert_array_equal(scores[0], scores[1])
    assert scores[0][:, 1].tolist() == [0.2, 0.2, 0.2]


class Doubled(nn.Linear):
    def forward(self, features: Tensor) -> Tensor:
        return super().forward(features) * 2


def build_tied() -> nn.Module:
    first, second = nn.Linear(9, 9), nn.Linear(9, 9)
    second.weight = first.weight
    return nn.Sequential(first, second)


def build_hooked() -> nn.Module:
    module = nn.Sequential(nn.Linear(9, 3))
    module[0].register_forward_pre_hook(lambda _, inputs: (inputs[0] * 2,))
    return module


def build_twice() -> nn.Module:
    layer = nn.Linear(9, 9)
    return nn.Sequential(layer, nn.ReLU(), layer)


OTHERS: dict[str, Callable[[], nn.Module]] = {
    "a lone layer": lambda: nn.Linear(9, 3),
    "another activation": lambda: nn.Sequential(nn.Linear(9, 3), nn.Tanh(), nn.Linear(3, 3)),
    "ReLU first": lambda: nn.Sequential(nn.ReLU(), nn.Linear(9, 3)),
    "dropout": lambda: nn.Sequential(nn.Linear(9, 3), nn.Dropout(0.1)),
    "batch norm": lambda: nn.Sequential(nn.Linear(9, 3), nn.BatchNorm1d(3)),
    "frozen": lambda: nn.Sequential(nn.Linear(9, 3).requires_grad_(requires_grad=False), nn.Linear(3, 3)),
    "half flattened": lambda: nn.Sequential(nn.Flatten(2), nn.Linear(9, 3)),
    "overridden": lambda: nn.Sequential(Doubled(9, 3)),
    "tied": build_tied,
    "hooked": build_hooked,
    "one layer twice": build_twice,
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_no_perceptron_is_left_to_the_general_way(name: str) -> None:
    module = OTHERS[name]()
    assert recognise(module, describe_module(module, 24)) is None


def test_examples_that_do_not_fit_end_as_they_do_in_the_general_way() -> None:
    by_hand, generally, size = build_pair(build_mlp(9, (8,), 3))
    stack, features = torch.randn(2, size), torch.randn(2, 5, 9)
    labels = torch.zeros(2, 5, dtype=torch.int64)
    ignored = labels.clone()
    ignored[0, 0] = -100  # torch leaves such an example out
    assert differentiate(by_hand, stack, features, ignored) == differentiate(generally, stack, features, ignored)
    for given, classes in ((features[..., :8], labels), (features, labels + 3), (features, labels[:, :4])):
        for ensemble in (by_hand, generally):
            with pytest.raises((RuntimeError, ValueError, IndexError)):
                differentiate(ensemble, stack, given, classes)
