"""Gradient descent on the flat vector of a replica.

The classes of ``torch.optim`` would do, but constructing one imports torch's compiler, three seconds
of every process, and a step of a small model costs as much around the arithmetic as in it.
"""

from __future__ import annotations

from typing import Protocol

import torch
from torch import Tensor

from flobc.learning.task import TrainSettings


class Optimizer(Protocol):
    """Changes the parameters by their gradients, once per call; the gradients may be overwritten."""

    def step(self) -> None:
        """Take one step."""


class Sgd:
    """Stochastic gradient descent with momentum and weight decay, as ``torch.optim.SGD``."""

    def __init__(self, parameters: list[Tensor], gradients: list[Tensor], settings: TrainSettings) -> None:
        self._pairs = list(zip(parameters, gradients, strict=True))
        self._settings = settings
        self._velocities = [torch.zeros_like(parameter) for parameter in parameters] if settings.momentum else []

    def step(self) -> None:
        """Take one step."""
        settings = self._settings
        for place, (parameter, gradient) in enumerate(self._pairs):
            if settings.weight_decay:
                gradient.add_(parameter, alpha=settings.weight_decay)
            direction = gradient
            if settings.momentum:
                direction = self._velocities[place].mul_(settings.momentum).add_(gradient)
            parameter.add_(direction, alpha=-settings.learning_rate)


class Adam:
    """Adam with its usual constants, as ``torch.optim.Adam(fused=True)``, whose kernel it calls.

    **Source**: Kingma and Ba 2015, algorithm 1.
    """

    def __init__(self, parameters: list[Tensor], gradients: list[Tensor], settings: TrainSettings) -> None:
        self._parameters = parameters
        self._gradients = gradients
        self._settings = settings
        self._first_moments = [torch.zeros_like(parameter) for parameter in parameters]
        self._second_moments = [torch.zeros_like(parameter) for parameter in parameters]
        self._steps = [torch.zeros((), dtype=torch.float32, device=tensor.device) for tensor in parameters]

    def step(self) -> None:
        """Take one step."""
        for steps in self._steps:
            steps.add_(1)
        torch._fused_adam_(
            self._parameters,
            self._gradients,
            self._first_moments,
            self._second_moments,
            [],
            self._steps,
            lr=self._settings.learning_rate,
            beta1=0.9,
            beta2=0.999,
            weight_decay=self._settings.weight_decay,
            eps=1e-8,
            amsgrad=False,
            maximize=False,
        )


def build_optimizer(parameters: list[Tensor], gradients: list[Tensor], settings: TrainSettings) -> Optimizer:
    """Build a fresh optimizer over tensors and their gradients, of equal shapes."""
    kind = Adam if settings.optimizer == "adam" else Sgd
    return kind(parameters, gradients, settings)
