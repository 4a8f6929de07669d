"""Several vectors of one torch model computed in one pass: each with its own weights, examples and order of batches.

A small model spends a step in calls, not in arithmetic, and one pass makes as many calls for eight models as for
one. Torch's ``vmap`` turns the module's operators into those over a stack of weights; what it cannot turn (drawing
random numbers, looking at values) shows when it is tried, and is then computed one by one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from flobc.learning.optimizers import Optimizer, build_optimizer
from flobc.learning.task import ModelInfo, TrainSettings, Vector

UNFIT = (RuntimeError, ValueError, TypeError, IndexError)
"""What torch raises for a model that it cannot compute with a stack of weights."""
_TRIAL_TOLERANCE = 1e-3

Loss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Shard:
    """One model's examples as tensors, and the indices of each batch that it is trained on, in order."""

    features: Tensor
    labels: Tensor
    batches: list[Tensor]


class Ensemble:
    """One thread's module, through which a stack of vectors is computed.

    **Shapes**: a stack is (M, D), one vector a row.
    """

    def __init__(self, module: nn.Module, info: ModelInfo, device: torch.device) -> None:
        self._module = module.to(device)
        self._info = info
        self.device = device

    def stack(self, vectors: Sequence[Vector]) -> Tensor:
        """Return the vectors as rows of one tensor."""
        return torch.from_numpy(np.stack(vectors)).to(self.device)

    def split(self, stack: Tensor) -> dict[str, Tensor]:
        """Return each tensor of the model as a view of the stack: (M, ...)."""
        places = self._info.layout
        return {tensor.name: stack[:, start:stop].view(len(stack), *tensor.shape) for tensor, start, stop in places}

    def evaluate(self, stack: Tensor, features: Tensor, labels: Tensor, loss: Loss, correct: Loss) -> Tensor:
        """Return mean loss and share of right answers of each model on one batch that all share: (M, 2)."""
        self._module.eval()

        def score(weights: dict[str, Tensor]) -> Tensor:
            outputs = functional_call(self._module, weights, (features,))
            right = correct(outputs, labels).double().mean()
            return torch.stack([loss(outputs, labels).double(), right])

        found: Tensor = vmap(score)(self.split(stack))
        return found

    def compute_gradients(self, stack: Tensor, features: Tensor, labels: Tensor, loss: Loss) -> tuple[Tensor, Tensor]:
        """Return each model's loss on its own batch (M,) and its gradient (M, D).

        **Shapes**: features (M, B, ...), labels (M, B, ...).
        """
        self._module.train()
        weights = {name: view.detach().requires_grad_() for name, view in self.split(stack).items()}

        def compute(weights: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
            return loss(functional_call(self._module, weights, (features,)), labels)

        losses: Tensor = vmap(compute)(weights, features, labels)
        found = torch.autograd.grad(losses.sum(), list(weights.values()), materialize_grads=True)
        return losses.detach(), torch.cat([gradient.reshape(len(stack), -1) for gradient in found], dim=1)

    def can_train(self, vector: Vector, features: Tensor, labels: Tensor, loss: Loss) -> bool:
        """Try a batch: whether a pass over two models gives what the module alone gives.

        Not where it keeps running statistics, which are no function of the weights, nor where it draws: all
        models would have to draw from streams of their own.
        """
        if any(tensor.kind != "train" for tensor, _, _ in self._info.layout):
            return False
        stack = self.stack([vector, vector])
        try:
            losses, gradients = self.compute_gradients(stack, _twice(features), _twice(labels), loss)
        except UNFIT:
            return False
        weights = {name: view[0].detach().requires_grad_() for name, view in self.split(stack).items()}
        alone = loss(functional_call(self._module, weights, (features,)), labels)
        wanted = torch.autograd.grad(alone, list(weights.values()), materialize_grads=True)
        pairs = [
            (losses, alone.detach().expand(2)),
            (gradients, torch.cat([g.reshape(-1) for g in wanted]).expand(2, -1)),
        ]
        return all(torch.allclose(a, b, _TRIAL_TOLERANCE, _TRIAL_TOLERANCE, equal_nan=True) for a, b in pairs)


def _twice(batch: Tensor) -> Tensor:
    return batch.expand(2, *batch.shape)


class JointRun:
    """Trains a stack, step by step: at each step all models whose batches are equally long in one pass.

    The models are ordered by their number of steps, longest first, so that those still under way are always
    the first rows; models of equally many steps share an optimizer.
    """

    def __init__(self, ensemble: Ensemble, loss: Loss, stack: Tensor, settings: TrainSettings) -> None:
        self._ensemble, self._loss_function, self._settings = ensemble, loss, settings
        self._stack = stack
        self._gradient = torch.zeros_like(stack)
        self._anchors = stack.clone() if settings.proximal_mu else None
        self._losses = torch.zeros(len(stack), dtype=torch.float64, device=stack.device)

    def run(self, shards: Sequence[Shard]) -> Tensor:
        """Train the stack in place, row by row's shard, and return each one's mean loss: (M,). Longest shard first."""
        optimizers = list(self._build_optimizers(shards))
        for step in range(len(shards[0].batches)):
            left = sum(len(shard.batches) > step for shard in shards)
            for rows in _group_by_length(shards[:left], step):
                self._add_gradients(rows, [shards[row] for row in rows], step)
            with torch.no_grad():
                if self._anchors is not None:
                    difference = self._stack[:left] - self._anchors[:left]
                    self._gradient[:left].add_(difference, alpha=self._settings.proximal_mu)
                for steps, optimizer in optimizers:
                    if steps > step:
                        optimizer.step()
        seen = [sum(len(batch) for batch in shard.batches) for shard in shards]
        return self._losses / torch.tensor(seen, dtype=torch.float64, device=self._losses.device)

    def read(self) -> Vector:
        """Return the stack, trained: (M, D)."""
        return self._stack.cpu().numpy()

    def _build_optimizers(self, shards: Sequence[Shard]) -> Iterator[tuple[int, Optimizer]]:
        row = 0
        for steps, group in groupby(len(shard.batches) for shard in shards):
            stop = row + len(list(group))
            values, gradients = (whole[row:stop].view(-1) for whole in (self._stack, self._gradient))
            yield steps, build_optimizer([values], [gradients], self._settings)
            row = stop

    def _add_gradients(self, rows: list[int], shards: Sequence[Shard], step: int) -> None:
        batches = [shard.batches[step] for shard in shards]
        pairs = list(zip(shards, batches, strict=True))
        features = torch.stack([shard.features.index_select(0, batch) for shard, batch in pairs])
        labels = torch.stack([shard.labels.index_select(0, batch) for shard, batch in pairs])
        where = slice(rows[0], rows[-1] + 1) if rows[-1] - rows[0] + 1 == len(rows) else rows
        losses, gradients = self._ensemble.compute_gradients(self._stack[where], features, labels, self._loss_function)
        self._gradient[where] = gradients
        self._losses[where] += losses.double() * len(batches[0])


def train_stack(
    ensemble: Ensemble, loss: Loss, vectors: Sequence[Vector], shards: Sequence[Shard], settings: TrainSettings
) -> list[tuple[Vector, float]] | None:
    """Return each vector trained on its shard, and its mean loss on the way; None when torch could not."""
    order = sorted(range(len(shards)), key=lambda place: -len(shards[place].batches))
    run = JointRun(ensemble, loss, ensemble.stack([vectors[place] for place in order]), settings)
    try:
        losses = run.run([shards[place] for place in order]).tolist()
    except UNFIT:
        return None
    rows = run.read()
    found = {place: (rows[row].copy(), losses[row]) for row, place in enumerate(order)}
    return [found[place] for place in range(len(order))]


def evaluate_stack(
    ensemble: Ensemble, loss: Loss, correct: Loss, vectors: Sequence[Vector], batches: Iterable[tuple[Tensor, Tensor]]
) -> list[tuple[float, float]] | None:
    """Return the sums over examples of loss and right answers of each vector; None when one pass cannot be made."""
    with torch.inference_mode():
        stack = ensemble.stack(vectors)
        sums = torch.zeros(len(stack), 2, dtype=torch.float64, device=ensemble.device)
        try:
            for features, labels in batches:
                sums += ensemble.evaluate(stack, features, labels, loss, correct) * len(labels)
        except UNFIT:
            return None
    return [(first, second) for first, second in sums.tolist()]


def _group_by_length(shards: Sequence[Shard], step: int) -> list[list[int]]:
    """Return the rows whose batches of this step are equally long, together."""
    groups: dict[int, list[int]] = {}
    for row, shard in enumerate(shards):
        groups.setdefault(len(shard.batches[step]), []).append(row)
    return list(groups.values())
