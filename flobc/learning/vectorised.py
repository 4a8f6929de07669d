"""Several vectors of one torch model computed in one pass: each with its own weights, examples and order of batches.

A small model spends a step in calls, not in arithmetic, and one pass makes as many calls for eight models as for
one. Torch's ``vmap`` turns the module's operators into those over a stack of weights; what it cannot turn (drawing
random numbers, looking at values) shows when it is tried, and is then computed one by one. Perceptrons are computed
by hand (:mod:`~flobc.learning.perceptrons`), to the same bits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.func import functional_call, vmap

from flobc.learning.objectives import OBJECTIVES, Objective, fits_stack
from flobc.learning.optimizers import Optimizer, build_optimizer
from flobc.learning.perceptrons import recognise
from flobc.learning.task import ModelInfo, TrainSettings, Vector

UNFIT = (RuntimeError, ValueError, TypeError, IndexError)
"""What torch raises for a model that it cannot compute with a stack of weights."""
_TRIAL_TOLERANCE = 1e-3

Loss = Callable[[Tensor, Tensor], Tensor]
Rows = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Shard:
    """One model's examples as tensors, their order in each pass over them, and how long each batch is."""

    features: Tensor
    labels: Tensor
    orders: list[Tensor]
    lengths: list[int]


class Ensemble:
    """One thread's module, through which a stack of vectors is computed.

    **Shapes**: a stack is (M, D), one vector a row.
    """

    def __init__(self, module: nn.Module, info: ModelInfo, device: torch.device) -> None:
        self._module = module.to(device)
        self._info = info
        self._perceptrons = recognise(self._module, info) if device.type == "cpu" else None
        self.device = device

    def stack(self, vectors: Sequence[Vector]) -> Tensor:
        """Return the vectors as rows of one tensor."""
        return torch.from_numpy(np.stack(vectors)).to(self.device)

    def split(self, stack: Tensor) -> dict[str, Tensor]:
        """Return each tensor of the model as a view of the stack: (M, ...)."""
        places = self._info.layout
        return {tensor.name: stack[:, start:stop].view(len(stack), *tensor.shape) for tensor, start, stop in places}

    def evaluate(self, stack: Tensor, features: Tensor, labels: Tensor, objective: Objective) -> Tensor:
        """Return mean loss and share of right answers of each model on one batch that all share: (M, 2)."""
        by_hand = self._perceptrons
        if by_hand is not None and objective.evaluate_stack is not None and by_hand.fits(features, labels, 1):
            scores = []
            for part in by_hand.split(stack, len(features)):
                losses, right = objective.evaluate_stack(by_hand.score(self.split(part), features), labels)
                scores.append(torch.stack([losses.double(), right], dim=1))
            return torch.cat(scores)
        self._module.eval()
        outputs = vmap(lambda weights: functional_call(self._module, weights, (features,)))(self.split(stack))
        if objective.evaluate_stack is not None and fits_stack(outputs, labels):
            losses, right = objective.evaluate_stack(outputs.transpose(1, 2).contiguous(), labels)
        else:
            losses, right = vmap(
                lambda each: (objective.loss(each, labels), objective.correct(each, labels).double().mean())
            )(outputs)
        return torch.stack([losses.double(), right], dim=1)

    def compute_gradients(
        self, weights: Mapping[str, Tensor], features: Tensor, labels: Tensor, loss: Loss, found: Mapping[str, Tensor]
    ) -> Tensor:
        """Return each model's loss on its own batch, (M,), and write its gradients to ``found``.

        **Shapes**: features (M, B, ...), labels (M, B, ...), each of ``weights`` and ``found`` (M, ...).
        """
        if self._computes_by_hand(features, labels, loss):
            assert self._perceptrons is not None
            with torch.no_grad():
                return self._perceptrons.compute_gradients(weights, features, labels, found)
        self._module.train()
        weights = {name: tensor.detach().requires_grad_() for name, tensor in weights.items()}

        def compute(weights: dict[str, Tensor], features: Tensor, labels: Tensor) -> Tensor:
            return loss(functional_call(self._module, weights, (features,)), labels)

        losses: Tensor = vmap(compute)(weights, features, labels)
        gradients = torch.autograd.grad(losses.sum(), list(weights.values()), materialize_grads=True)
        for name, gradient in zip(weights, gradients, strict=True):
            found[name].copy_(gradient)
        return losses.detach()

    def _computes_by_hand(self, features: Tensor, labels: Tensor, loss: Loss) -> bool:
        """Whether this is a perceptron's cross entropy, and no label is negative: torch leaves out those of -100."""
        by_hand = self._perceptrons
        return (
            by_hand is not None
            and loss is OBJECTIVES["cross_entropy"].loss
            and by_hand.fits(features, labels, 2)
            and bool(labels.min() >= 0)
        )

    def can_train(self, vector: Vector, features: Tensor, labels: Tensor, loss: Loss) -> bool:
        """Try a batch: whether a pass over two models gives what the module alone gives.

        Not where it keeps running statistics, which are no function of the weights, nor where it draws: all
        models would have to draw from streams of their own.
        """
        if any(tensor.kind != "train" for tensor, _, _ in self._info.layout):
            return False
        stack = self.stack([vector, vector])
        gradients = torch.zeros_like(stack)
        try:
            losses = self.compute_gradients(
                self.split(stack), _twice(features), _twice(labels), loss, self.split(gradients)
            )
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
        self._stack, self._gradient = stack, torch.zeros_like(stack)
        self._weights, self._gradients = (ensemble.split(whole) for whole in (self._stack, self._gradient))
        self._anchors = stack.clone() if settings.proximal_mu else None
        self._losses = torch.zeros(len(stack), dtype=torch.float64, device=stack.device)

    def run(self, shards: Sequence[Shard]) -> Tensor:
        """Train the stack in place, row by row's shard, and return each one's mean loss: (M,). Longest shard first."""
        optimizers = list(self._build_optimizers(shards))
        pool = _Pool(shards)
        for step in range(len(shards[0].lengths)):
            left, groups = pool.group(step)
            for rows in groups:
                self._add_gradients(rows, *pool.gather(rows, step))
            with torch.no_grad():
                if self._anchors is not None:
                    difference = self._stack[:left] - self._anchors[:left]
                    self._gradient[:left].add_(difference, alpha=self._settings.proximal_mu)
                for steps, optimizer in optimizers:
                    if steps > step:
                        optimizer.step()
        return self._losses / torch.from_numpy(pool.seen).to(self._losses)

    def read(self) -> Vector:
        """Return the stack, trained: (M, D)."""
        return self._stack.cpu().numpy()

    def _build_optimizers(self, shards: Sequence[Shard]) -> Iterator[tuple[int, Optimizer]]:
        row = 0
        for steps, group in groupby(len(shard.lengths) for shard in shards):
            stop = row + len(list(group))
            values, gradients = (whole[row:stop].view(-1) for whole in (self._stack, self._gradient))
            yield steps, build_optimizer([values], [gradients], self._settings)
            row = stop

    def _add_gradients(self, rows: Rows, features: Tensor, labels: Tensor) -> None:
        first, stop = int(rows[0]), int(rows[-1]) + 1
        together = stop - first == len(rows)
        where = slice(first, stop) if together else torch.from_numpy(rows).to(self._stack.device)
        weights = {name: tensor[where] for name, tensor in self._weights.items()}
        if together:
            found = {name: tensor[where] for name, tensor in self._gradients.items()}
        else:
            found = {name: torch.empty_like(tensor) for name, tensor in weights.items()}
        losses = self._ensemble.compute_gradients(weights, features, labels, self._loss_function, found)
        if not together:
            for name, tensor in found.items():
                self._gradients[name][where] = tensor
        self._losses[where] += losses.double() * labels.shape[1]


class _Pool:
    """The examples of all shards in one tensor, from which a step takes the batches of many in one go."""

    def __init__(self, shards: Sequence[Shard]) -> None:
        steps = np.array([len(shard.lengths) for shard in shards])
        self._lengths = np.zeros((len(shards), steps.max()), dtype=np.int64)
        self._lengths[np.arange(steps.max()) < steps[:, None]] = [n for shard in shards for n in shard.lengths]
        self._left: list[int] = (np.arange(steps.max())[:, None] < steps).sum(1).tolist()
        self.seen = self._lengths.sum(1)
        """How many examples each model is trained on, counted as often as they come."""
        self._starts = (self.seen.cumsum() - self.seen)[:, None] + self._lengths.cumsum(1) - self._lengths
        # Of shards that are not gone through even once, only what is used is copied.
        parts = [
            _take_used(shard) if seen < len(shard.labels) else shard
            for shard, seen in zip(shards, self.seen.tolist(), strict=True)
        ]
        self._features = torch.cat([part.features for part in parts])
        self._labels = torch.cat([part.labels for part in parts])
        counts = np.array([len(part.labels) for part in parts])
        order = torch.cat([order for part in parts for order in part.orders]).numpy()
        self._order = order + (counts.cumsum() - counts).repeat(self.seen)

    def group(self, step: int) -> tuple[int, list[Rows]]:
        """Return how many models are still under way, and the rows of those whose batches are equally long."""
        left = self._left[step]
        lengths = self._lengths[:left, step]
        return left, [np.flatnonzero(lengths == length) for length in set(lengths.tolist())]

    def gather(self, rows: Rows, step: int) -> tuple[Tensor, Tensor]:
        """Return the batches of these rows, equally long: features (M, B, ...) and labels (M, B, ...)."""
        shape = len(rows), int(self._lengths[rows[0], step])
        places = self._starts[rows, step][:, None] + np.arange(shape[1])
        index = torch.from_numpy(self._order[places.reshape(-1)]).to(self._features.device)
        features, labels = (whole.index_select(0, index) for whole in (self._features, self._labels))
        return features.view(*shape, *features.shape[1:]), labels.view(*shape, *labels.shape[1:])


def _take_used(shard: Shard) -> Shard:
    order = torch.cat(shard.orders)
    index = order.to(shard.features.device)
    features, labels = (whole.index_select(0, index) for whole in (shard.features, shard.labels))
    return Shard(features, labels, [torch.arange(len(order))], shard.lengths)


def train_stack(
    ensemble: Ensemble, loss: Loss, vectors: Sequence[Vector], shards: Sequence[Shard], settings: TrainSettings
) -> list[tuple[Vector, float]] | None:
    """Return each vector trained on its shard, and its mean loss on the way; None when torch could not."""
    order = sorted(range(len(shards)), key=lambda place: _rank(shards[place], settings), reverse=True)
    run = JointRun(ensemble, loss, ensemble.stack([vectors[place] for place in order]), settings)
    try:
        losses = run.run([shards[place] for place in order]).tolist()
    except UNFIT:
        return None
    rows = run.read()
    found = {place: (rows[row].copy(), losses[row]) for row, place in enumerate(order)}
    return [found[place] for place in range(len(order))]


def evaluate_stack(
    ensemble: Ensemble, objective: Objective, vectors: Sequence[Vector], batches: Iterable[tuple[Tensor, Tensor]]
) -> list[tuple[float, float]] | None:
    """Return the sums over examples of loss and right answers of each vector; None when one pass cannot be made."""
    with torch.inference_mode():
        stack = ensemble.stack(vectors)
        sums = torch.zeros(len(stack), 2, dtype=torch.float64, device=ensemble.device)
        try:
            for features, labels in batches:
                sums += ensemble.evaluate(stack, features, labels, objective) * len(labels)
        except UNFIT:
            return None
    return [(first, second) for first, second in sums.tolist()]


def _rank(shard: Shard, settings: TrainSettings) -> tuple[int, list[int]]:
    """Return what the rows are ordered by: the number of steps, then lengths, as rows apart would have to be copied.

    Not with Adam, whose kernel rounds the last few numbers of a tensor otherwise, so that a row's place counts.
    """
    return len(shard.lengths), shard.lengths if settings.optimizer == "sgd" else []
