"""What training lowers and what counts as a right answer, for one model and for a stack of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

_REGISTER = 16
"""How many float32 the widest registers hold."""

Measure = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Objective:
    """A loss and a rule for right answers.

    ``loss(outputs, labels)`` is a mean over the batch; ``correct(outputs, labels)`` has one
    boolean per answer. ``evaluate_stack``, which no objective needs to have, gives the same numbers for a stack
    of models: from outputs by class (M, C, B) and the labels (B,) that all of them share losses and shares of right
    answers, (M,) each.
    """

    loss: Measure
    correct: Measure
    evaluate_stack: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] | None = None


def _is_predicted_class(outputs: Tensor, labels: Tensor) -> Tensor:
    return outputs.argmax(dim=1) == labels


def _evaluate_classes(by_class: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Cross entropy and share of right answers of M models: (M,) each.

    With the classes in the middle, torch computes for as many examples at a time as a register holds, and not for
    the few classes of one: four times as fast, and for few classes with the same bits, unless the examples fill no
    register.
    """
    index = labels.expand(len(by_class), 1, -1)
    if len(labels) < _REGISTER:
        logarithms = functional.log_softmax(by_class.transpose(1, 2).contiguous(), 2).transpose(1, 2)
    else:
        logarithms = functional.log_softmax(by_class, 1)
    losses = logarithms.gather(1, index).squeeze(1).neg().sum(1) / len(labels)
    greatest = by_class.amax(1, keepdim=True)
    right = by_class.gather(1, index) == greatest
    # Signs of -1 but for one class; a sum of them is exact, and takes a third of the time of counting truths.
    below = (by_class - greatest).sign_().flatten(1).sum(1)
    if by_class.shape[1] == 1 or (below != -(by_class.shape[1] - 1) * len(labels)).any():
        # Equal ones, of which the first counts, or no numbers.
        right = by_class.argmax(1) == labels
    return losses, right.view(right.shape[0], -1).sum(1).double() / len(labels)


def _mean_squared_error(outputs: Tensor, labels: Tensor) -> Tensor:
    return functional.mse_loss(outputs.reshape(labels.shape), labels.to(outputs.dtype))


def _is_within_half(outputs: Tensor, labels: Tensor) -> Tensor:
    return (outputs.reshape(labels.shape) - labels).abs() < 0.5


OBJECTIVES = {
    "cross_entropy": Objective(functional.cross_entropy, _is_predicted_class, _evaluate_classes),
    "mse": Objective(_mean_squared_error, _is_within_half),
}


def fits_stack(outputs: Tensor, labels: Tensor) -> bool:
    """Whether these are one row of outputs per example and one whole number as its label."""
    return outputs.dim() == 3 and labels.dim() == 1 and not torch.is_floating_point(labels)
