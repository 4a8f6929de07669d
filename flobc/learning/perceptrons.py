"""Stacks of multilayer perceptrons, computed by hand: the operators that ``vmap`` and autograd run, without them.

A perceptron this small spends most of a pass in the machinery that turns a module into a stack of modules and records
what to differentiate. Here its few products of matrices are written down. Results have the same bits as the general
way: every sum is made by the same operator over the same order of numbers. Where another form of it is quicker, and
has the same bits only on some processors, it is tried once on random numbers and compared.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from math import ceil, prod

import torch
from torch import Tensor, nn

from flobc.learning.task import ModelInfo

_CACHED = 2**18
"""How many numbers of one layer's outputs stay in a core's cache until the next operator reads them."""

_WIDEST = 64
"""A multiple of how many float32 any register holds, so that no operator ends with a part of one."""

Tensors = Mapping[str, Tensor]
"""The stack's tensors by name: (M, ...) each."""


@dataclass(frozen=True)
class Layer:
    """The names of a linear layer's tensors, and whether a ReLU follows."""

    weight: str
    bias: str | None
    rectifies: bool


@dataclass(frozen=True)
class Plan:
    """What a perceptron computes: whether it flattens its examples first, and its layers."""

    flattens: bool
    layers: tuple[Layer, ...]
    features: int
    widest: int


class Workspace:
    """Memory for values on their way, kept from pass to pass: to get new pages costs as much as to fill them."""

    def __init__(self) -> None:
        self._tensors: dict[str, Tensor] = {}

    def take(self, name: str, *shape: int) -> Tensor:
        """Return a tensor of any content; the next one of this name takes its place."""
        size = prod(shape)
        found = self._tensors.get(name)
        if found is None or found.numel() < size:
            with torch.inference_mode(mode=False):  # one made there could not be written to elsewhere
                found = self._tensors[name] = torch.empty(size)
        return found[:size].view(shape)


class Perceptrons:
    """One thread's passes over stacks of one perceptron, on a CPU.

    **Shapes**: M models, B examples, I numbers into a layer and H out of it, C classes.
    """

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._workspace = Workspace()

    def fits(self, features: Tensor, labels: Tensor, lead: int) -> bool:
        """Whether these are examples of the model and their classes, ``lead`` dimensions before those of an example.

        What does not fit is left to the general way, to compute it or to complain of it.
        """
        shape = features.shape[lead:]
        return (
            (len(shape) == 1 or (self._plan.flattens and len(shape) > 1))
            and prod(shape) == self._plan.features
            and features.dtype == torch.float32
            and labels.dtype == torch.int64
            and labels.shape == features.shape[:lead]
            and labels.numel() > 0
        )

    def split(self, stack: Tensor, batch: int) -> tuple[Tensor, ...]:
        """Return the stack in parts that are scored on ``batch`` examples in the cache: a quarter less time."""
        return stack.chunk(max(1, ceil(len(stack) * batch * self._plan.widest / _CACHED)))

    def score(self, weights: Tensors, features: Tensor) -> Tensor:
        """Return the outputs of each model for examples that all share, by class: (M, C, B).

        **Shapes**: features (B, ...).
        """
        outputs = features.reshape(len(features), -1)
        models = len(weights[self._plan.layers[0].weight])
        outputs = outputs.expand(models, *outputs.shape)
        for place, layer in enumerate(self._plan.layers):
            weight = weights[layer.weight]
            out = self._workspace.take(f"outputs {place}", models, len(features), weight.shape[1])
            outputs = torch.bmm(outputs, weight.mT, out=out)
            if place == len(self._plan.layers) - 1:
                by_class = self._workspace.take("classes", models, weight.shape[1], len(features))
                _add_bias(outputs.mT, weights, layer, 2, by_class)
                return by_class.relu_() if layer.rectifies else by_class
            _add_bias(outputs, weights, layer, 1, outputs)
            if layer.rectifies:
                outputs.relu_()
        raise AssertionError("a plan has a layer")

    def compute_gradients(self, weights: Tensors, features: Tensor, labels: Tensor, gradients: Tensors) -> Tensor:
        """Write the gradient of each model's cross entropy to ``gradients`` and return the losses: (M,).

        **Shapes**: features (M, B, ...), labels (M, B).
        """
        inputs = [features.reshape(*labels.shape, -1)]
        for place, layer in enumerate(self._plan.layers):
            weight = weights[layer.weight]
            out = self._workspace.take(f"outputs {place}", *labels.shape, weight.shape[1])
            torch.bmm(inputs[-1], weight.mT, out=out)
            inputs.append(out)
            if place < len(self._plan.layers) - 1 or layer.rectifies:
                _add_bias(out, weights, layer, 1, out)
            if layer.rectifies:
                out.relu_()
        last = self._plan.layers[-1]
        bias = None if last.rectifies or last.bias is None else weights[last.bias]
        losses, gradient = self._differentiate_loss(inputs[-1], bias, labels)
        for place in reversed(range(len(self._plan.layers))):
            layer = self._plan.layers[place]
            if layer.rectifies:
                gradient = torch.ops.aten.threshold_backward(gradient, inputs[place + 1], 0)
            if layer.bias is not None:
                gradients[layer.bias].copy_(gradient.sum(1))
            self._differentiate_weight(inputs[place], gradient, gradients[layer.weight])
            if place:
                out = self._workspace.take(f"gradient {place}", *inputs[place].shape)
                gradient = torch.bmm(gradient, weights[layer.weight], out=out)
        return losses

    def _differentiate_weight(self, inputs: Tensor, gradient: Tensor, found: Tensor) -> None:
        """Write the gradient by a layer's weight, (M, H, I), from those by its outputs (M, B, H)."""
        if not _transposes_alike(gradient.shape[2], inputs.shape[2], inputs.shape[1]):
            found.copy_(torch.bmm(inputs.mT, gradient).mT)
        elif found.is_contiguous():
            torch.bmm(gradient.mT, inputs, out=found)
        else:  # to which torch would write the product model by model
            found.copy_(torch.bmm(gradient.mT, inputs, out=self._workspace.take("weight", *found.shape)))

    def _differentiate_loss(self, outputs: Tensor, bias: Tensor | None, labels: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean cross entropies (M,) and their gradients by the outputs, (M, B, C).

        With all examples beside each other torch computes for as many of them at a time as a register holds.
        """
        models, batch, classes = outputs.shape
        if not _classes_may_come_first(classes):
            if bias is not None:
                outputs.add_(bias.unsqueeze(1))
            logarithms = torch._log_softmax(outputs, 2, False)
            picked = logarithms.gather(2, labels.unsqueeze(2)).squeeze(2)
            seed = torch.zeros_like(logarithms).scatter_(2, labels.unsqueeze(2), -1.0 / batch)
            gradient = torch._log_softmax_backward_data(seed, logarithms, 2, torch.float32)
            return picked.neg_().sum(1).div_(batch), gradient
        count = models * batch
        by_class = self._workspace.take("classes", classes, _round_up(count))
        by_class[:, count:].zero_()
        first = by_class[:, :count].view(classes, models, batch)
        if bias is None:
            first.copy_(outputs.permute(2, 0, 1))
        else:
            torch.add(outputs.permute(2, 0, 1), bias.T.unsqueeze(2), out=first)
        index = labels.reshape(1, count)
        logarithms = torch._log_softmax(by_class, 0, False)
        picked = logarithms.gather(0, index).view(models, batch)
        seed = by_class.zero_().scatter_(0, index, -1.0 / batch)
        gradient = torch._log_softmax_backward_data(seed, logarithms, 0, torch.float32)
        gradient = gradient[:, :count].view(classes, models, batch).permute(1, 2, 0)
        return picked.neg_().sum(1).div_(batch), gradient.contiguous()


def recognise(module: nn.Module, info: ModelInfo) -> Perceptrons | None:
    """Return the passes over stacks of ``module`` when it is a perceptron and learns every tensor, else None."""
    if type(module) is not nn.Sequential:
        return None
    # With duplicates, for a module that comes twice computes twice; nested ones come in the order of their computing.
    parts = [(name, part) for name, part in module.named_modules(remove_duplicate=False) if not _only_groups(part)]
    flattens = bool(parts) and isinstance(parts[0][1], nn.Flatten)
    layers: list[Layer] = []
    widths: list[tuple[int, int]] = []
    for name, part in parts[1:] if flattens else parts:
        if type(part) is nn.Linear:
            layers.append(Layer(f"{name}.weight", None if part.bias is None else f"{name}.bias", rectifies=False))
            widths.append((part.out_features, part.in_features))
        elif type(part) is nn.ReLU and layers:
            layers[-1] = Layer(layers[-1].weight, layers[-1].bias, rectifies=True)
        else:
            return None
    if not layers or not _learns_all(info, layers, widths) or any(_has_hooks(part) for part in module.modules()):
        return None
    if flattens and not _keeps_examples_apart(parts[0][1]):
        return None
    return Perceptrons(Plan(flattens, tuple(layers), widths[0][1], max(outputs for outputs, _ in widths)))


def _only_groups(module: nn.Module) -> bool:
    return type(module) is nn.Sequential


def _keeps_examples_apart(module: nn.Module) -> bool:
    return type(module) is nn.Flatten and module.start_dim == 1 and module.end_dim == -1


def _learns_all(info: ModelInfo, layers: list[Layer], widths: list[tuple[int, int]]) -> bool:
    """Whether the vector is made of these tensors, each used once, of widths that follow from each other."""
    wanted: list[tuple[str, tuple[int, ...]]] = []
    for layer, width in zip(layers, widths, strict=True):
        wanted.append((layer.weight, width))
        if layer.bias is not None:
            wanted.append((layer.bias, width[:1]))
    found = [(tensor.name, tensor.shape) for tensor in info.tensors if tensor.kind == "train"]
    chained = all(first[0] == then[1] for first, then in pairwise(widths))
    return found == wanted and len(found) == len(info.tensors) and chained


def _has_hooks(module: nn.Module) -> bool:
    """Whether the module computes something beside what its kind does."""
    return any((module._forward_hooks, module._forward_pre_hooks, module._backward_hooks, module._backward_pre_hooks))


def _add_bias(outputs: Tensor, weights: Tensors, layer: Layer, dim: int, found: Tensor) -> None:
    """Write ``outputs`` plus the layer's bias, if it has one, to ``found``; the bias is one along ``dim``."""
    if layer.bias is not None:
        torch.add(outputs, weights[layer.bias].unsqueeze(dim), out=found)
    elif found is not outputs:
        found.copy_(outputs)


def _round_up(count: int) -> int:
    return -(-count // _WIDEST) * _WIDEST


@cache
def _transposes_alike(rows: int, columns: int, depth: int) -> bool:
    """Whether products A.T B of (depth, rows) and (depth, columns) have the bits of (B.T A).T on this machine."""
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        first = torch.randn(2, depth, rows, generator=generator)
        second = torch.randn(2, depth, columns, generator=generator)
        return torch.equal(torch.bmm(first.mT, second), torch.bmm(second.mT, first).mT)


@cache
def _classes_may_come_first(classes: int) -> bool:
    """Whether logarithms of the softmax, and their gradients, have the same bits with the classes before the examples.

    So they have where all classes fit into one register, and the examples fill whole ones.
    """
    generator = torch.Generator().manual_seed(0)
    with torch.inference_mode():
        outputs = torch.randn(4 * _WIDEST, classes, generator=generator) * 4
        seed = torch.zeros_like(outputs)
        seed[torch.arange(len(outputs)), torch.arange(len(outputs)) % classes] = -1 / 7
        last = torch._log_softmax(outputs, 1, False)
        first = torch._log_softmax(outputs.T.contiguous(), 0, False)
        backward = torch._log_softmax_backward_data(seed, last, 1, torch.float32)
        other = torch._log_softmax_backward_data(seed.T.contiguous(), first, 0, torch.float32)
        return torch.equal(last.T, first) and torch.equal(backward.T, other)
