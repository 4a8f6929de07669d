"""Makes a :class:`~flobc.learning.task.Task` out of any ``torch.nn.Module`` and a loader."""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from flobc.errors import DataError, UsageError
from flobc.learning.determinism import build_generator
from flobc.learning.device import get_device
from flobc.learning.objectives import OBJECTIVES, Objective
from flobc.learning.optimizers import build_optimizer
from flobc.learning.replica import ModelBuilder, Replica, build_module, describe_module, read_vector
from flobc.learning.task import (
    DataSource,
    Evaluation,
    Examples,
    ModelInfo,
    Splits,
    TrainResult,
    TrainSettings,
    Vector,
)

if TYPE_CHECKING:
    from flobc.learning.vectorised import Ensemble

# 256 images keep the widest activation of the shipped models in the cache: twice as fast as 2048.
_EVALUATION_BATCH = 256
# Masks and the order of batches come from different streams, whatever the device.
_NOISE_STREAM = 0x5EED
# Up to so many parameters eight models at once were quicker than one by one (docs/tasks.md); beyond, a step of all
# of them no longer fits the cache.
_LARGEST_TOGETHER = 32_768


def describe_origin(error: Exception) -> str:
    """Return an exception's kind, words, and the line outside torch that it came through last."""
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if "site-packages" not in frame.filename]
    place = f", {frames[-1].filename}:{frames[-1].lineno}" if frames else ""
    return f"{type(error).__name__}: {error}{place}"


@dataclass(eq=False)
class TorchTask:
    """A task made of a module builder and a loader.

    ``build_model`` takes no argument and returns a new float32 module. BatchNorm's running mean and
    variance travel with the model as clamped buffers; integer buffers and parameters without
    gradient are frozen. ``input_shape`` reshapes each example, so that rows of a CSV fit an image
    model. ``loss`` is ``cross_entropy``, ``mse`` (an answer counts as right within 0.5) or an
    :class:`Objective`.

    Training is deterministic: the same vector, examples, settings and seed give the same bytes
    whatever other threads do, provided torch computes with one thread per worker
    (:func:`~flobc.learning.determinism.single_threaded`). Draw random numbers through torch only.
    """

    name: str
    build_model: ModelBuilder
    load_splits: Callable[[DataSource], Splits]
    default_settings: TrainSettings = field(default_factory=TrainSettings)
    loss: str | Objective = "cross_entropy"
    input_shape: tuple[int, ...] | None = None
    fraction_bits: int = 24

    def __post_init__(self) -> None:
        if isinstance(self.loss, str) and self.loss not in OBJECTIVES:
            raise UsageError(
                f"The loss must be one of {', '.join(sorted(OBJECTIVES))} or an Objective, not {self.loss!r}."
            )
        self._objective = OBJECTIVES[self.loss] if isinstance(self.loss, str) else self.loss
        self._local = threading.local()
        self._trains_together: dict[tuple[int, ...], bool] = {}
        self._evaluates_together = True

    @cached_property
    def _info(self) -> ModelInfo:
        return describe_module(build_module(self.build_model, seed=0), self.fraction_bits)

    def model_info(self) -> ModelInfo:
        """Return the module's tensors, in the order of its state dict."""
        return self._info

    def initial_vector(self, seed: int) -> Vector:
        """Return the vector of a module built with ``seed``."""
        return read_vector(build_module(self.build_model, seed), self._info)

    def load(self, source: DataSource) -> Splits:
        """Return the loader's data set."""
        return self.load_splits(source)

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> TrainResult:
        """Train from ``vector``; the optimizer starts afresh, so that nothing is kept between rounds."""
        replica = self._replica(vector)
        device = replica.flat.device
        with self._explained(examples):
            features, labels = self._tensors(examples, device)
            if replica.draws_from_torch is None:
                replica.probe(features[: settings.batch_size])
                replica.load(vector)
            replica.module.train()
            run = _Run(replica, self._objective, settings)
            with replica.seeded(seed + _NOISE_STREAM):
                for batch in _iterate_batches(len(examples), settings, build_generator(seed)):
                    run.step(features, labels, batch.to(device))
        return TrainResult(replica.read(), len(examples), run.mean_loss())

    def evaluate(self, vector: Vector, examples: Examples) -> Evaluation:
        """Score ``vector`` in evaluation mode, in float32, summing over batches in float64."""
        replica = self._replica(vector)
        replica.module.eval()
        with torch.inference_mode(), self._explained(examples):
            features, labels = self._tensors(examples, replica.flat.device)
            loss = torch.zeros((), dtype=torch.float64, device=features.device)
            correct = torch.zeros_like(loss)
            pairs = zip(torch.split(features, _EVALUATION_BATCH), torch.split(labels, _EVALUATION_BATCH), strict=True)
            for batch, wanted in pairs:
                outputs = replica.module(batch)
                loss += self._objective.loss(outputs, wanted).double() * len(batch)
                correct += self._objective.correct(outputs, wanted).double().mean() * len(batch)
        count = len(examples)
        return Evaluation(loss.item() / count, correct.item() / count, count)

    def prefers_many(self, examples: Examples) -> bool:
        """Return whether the model is small enough to gain from one pass, and one can be made of it (tried once)."""
        shape = examples.features.shape[1:]
        if shape not in self._trains_together:
            self._trains_together[shape] = self._info.size <= _LARGEST_TOGETHER and self._try_together(examples)
        return self._trains_together[shape]

    def _try_together(self, examples: Examples) -> bool:
        ensemble = self._ensemble()
        few = examples[: self.default_settings.batch_size]
        with self._explained(few):
            features, labels = self._tensors(few, ensemble.device)
            return ensemble.can_train(self.initial_vector(0), features, labels, self._objective.loss)

    def train_many(
        self, vectors: Sequence[Vector], shards: Sequence[Examples], settings: TrainSettings, seeds: Sequence[int]
    ) -> list[TrainResult]:
        """Train each vector on its own shard, all in one pass where that is quicker."""
        found = None
        if len(vectors) > 1 and self.prefers_many(shards[0]):
            found = self._train_together(vectors, shards, settings, seeds)
        if found is None:
            pairs = zip(vectors, shards, seeds, strict=True)
            found = [self.train(vector, shard, settings, seed) for vector, shard, seed in pairs]
        return found

    def _train_together(
        self, vectors: Sequence[Vector], shards: Sequence[Examples], settings: TrainSettings, seeds: Sequence[int]
    ) -> list[TrainResult] | None:
        """Return None when one pass failed: one by one, it shows whose examples are to blame."""
        from flobc.learning.vectorised import Shard, train_stack  # noqa: PLC0415  seconds that a lone model saves

        for vector in vectors:
            self._info.require_vector(vector)
        ensemble = self._ensemble()
        parts = []
        for shard, seed in zip(shards, seeds, strict=True):
            features, labels = self._tensors(shard, ensemble.device)
            passes = list(_iterate_orders(len(shard), settings, build_generator(seed)))
            lengths = [length for _, lengths in passes for length in lengths]
            parts.append(Shard(features, labels, [order for order, _ in passes], lengths))
        results = train_stack(ensemble, self._objective.loss, vectors, parts, settings)
        if results is None:
            return None
        return [TrainResult(row, len(shard), loss) for (row, loss), shard in zip(results, shards, strict=True)]

    def evaluate_many(self, vectors: Sequence[Vector], examples: Examples) -> list[Evaluation]:
        """Score each vector, all in one pass where that is quicker."""
        together = len(vectors) > 1 and self._evaluates_together and self._info.size <= _LARGEST_TOGETHER
        if together:
            from flobc.learning.vectorised import evaluate_stack  # noqa: PLC0415  as above

            for vector in vectors:
                self._info.require_vector(vector)
            ensemble = self._ensemble()
            features, labels = self._tensors(examples, ensemble.device)
            batches = zip(torch.split(features, _EVALUATION_BATCH), torch.split(labels, _EVALUATION_BATCH), strict=True)
            scores = evaluate_stack(ensemble, self._objective, vectors, batches)
            if scores is not None:
                return [
                    Evaluation(loss / len(examples), right / len(examples), len(examples)) for loss, right in scores
                ]
        found = [self.evaluate(vector, examples) for vector in vectors]
        # That it did well one by one says that the pass failed for the model's sake, not for the examples'.
        self._evaluates_together = self._evaluates_together and not together
        return found

    def _ensemble(self) -> Ensemble:
        """Return this thread's module for stacks of vectors."""
        from flobc.learning.vectorised import Ensemble  # noqa: PLC0415  as above

        device = get_device()
        ensembles: dict[torch.device, Ensemble] = self._local.__dict__.setdefault("ensembles", {})
        if device not in ensembles:
            ensembles[device] = Ensemble(build_module(self.build_model, seed=0), self._info, device)
        return ensembles[device]

    @contextmanager
    def _explained(self, examples: Examples) -> Iterator[None]:
        """Turn torch's complaint about the examples into one that names them."""
        try:
            yield
        except (IndexError, RuntimeError, ValueError) as error:
            raise DataError(
                f"{self.name} cannot use examples of shape {examples.features.shape[1:]} with labels "
                f"{examples.labels.min()} to {examples.labels.max()}; do data, model and attacks fit? "
                f"({describe_origin(error)})"
            ) from error

    def _replica(self, vector: Vector) -> Replica:
        """Return this thread's module, holding ``vector``."""
        self._info.require_vector(vector)
        device = get_device()
        replicas: dict[torch.device, Replica] = self._local.__dict__.setdefault("replicas", {})
        if device not in replicas:
            replicas[device] = Replica(self.build_model, self._info, device)
        replica = replicas[device]
        replica.load(vector)
        return replica

    def _tensors(self, examples: Examples, device: torch.device) -> tuple[Tensor, Tensor]:
        if len(examples) == 0:
            raise DataError(f"There are no examples to train or score {self.name} on; check the shard.")
        features = examples.features
        if self.input_shape is not None:
            features = self._reshape(examples)
        wanted = np.int64 if np.issubdtype(examples.labels.dtype, np.integer) else np.float32
        return _as_tensor(features, device), _as_tensor(examples.labels.astype(wanted, copy=False), device)

    def _reshape(self, examples: Examples) -> np.ndarray:
        try:
            return examples.features.reshape(len(examples), *(self.input_shape or ()))
        except ValueError as error:
            raise DataError(
                f"{self.name} takes examples of shape {self.input_shape}, but these have shape "
                f"{examples.features.shape[1:]}; give data of the right size."
            ) from error


class _Run:
    """The optimizer and loss of one call to ``train``."""

    def __init__(self, replica: Replica, objective: Objective, settings: TrainSettings) -> None:
        self._module = replica.module
        self._objective = objective
        self._gradient = replica.gradient
        self._parameters, self._gradients = replica.trained, replica.gradients
        self._mu = settings.proximal_mu
        self._anchors = [parameter.clone() for parameter in self._parameters] if self._mu else []
        self._optimizer = build_optimizer(self._parameters, self._gradients, settings)
        self._loss = torch.zeros((), dtype=torch.float64, device=replica.flat.device)
        self._seen = 0

    def step(self, features: Tensor, labels: Tensor, batch: Tensor) -> None:
        """Take one optimizer step on the examples whose indices are ``batch``."""
        outputs = self._module(features.index_select(0, batch))
        loss = self._objective.loss(outputs, labels.index_select(0, batch))
        self._gradient.zero_()
        loss.backward()  # type: ignore[no-untyped-call]
        with torch.no_grad():
            if self._mu:
                self._add_proximal_gradient()
            self._optimizer.step()
            self._loss += loss.double() * len(batch)
        self._seen += len(batch)

    def _add_proximal_gradient(self) -> None:
        for parameter, gradient, anchor in zip(self._parameters, self._gradients, self._anchors, strict=True):
            gradient.add_(parameter - anchor, alpha=self._mu)

    def mean_loss(self) -> float:
        """Return the mean loss of the examples seen."""
        return self._loss.item() / self._seen


def _iterate_batches(count: int, settings: TrainSettings, generator: torch.Generator) -> Iterator[Tensor]:
    """Yield the indices of each batch: a new order per pass, until the epochs or steps are done."""
    for order, lengths in _iterate_orders(count, settings, generator):
        yield from torch.split(order, lengths)


def _iterate_orders(
    count: int, settings: TrainSettings, generator: torch.Generator
) -> Iterator[tuple[Tensor, list[int]]]:
    """Yield for each pass the indices in their order, and how many of them each batch has."""
    full, rest = divmod(count, settings.batch_size)
    whole = [settings.batch_size] * full + [rest] * (rest > 0)
    if len(whole) > 1 and whole[-1] == 1:
        # BatchNorm cannot normalise one example alone, so it joins the batch before.
        whole[-2:] = [whole[-2] + 1]
    left = settings.steps
    passes = settings.epochs
    while left != 0 and passes != 0:
        order = torch.randperm(count, generator=generator)
        lengths = whole
        if left is not None and left < len(whole):
            lengths = whole[:left]
            order = order[: sum(lengths)]
        if left is not None:
            left -= len(lengths)
        if passes is not None:
            passes -= 1
        yield order, lengths


def _as_tensor(array: np.ndarray, device: torch.device) -> Tensor:
    """Share ``array`` with torch where it may be shared, else copy it."""
    ready = array.astype(np.float32, copy=False) if array.dtype == np.float64 else array
    if not ready.flags.writeable or any(stride < 0 for stride in ready.strides):
        ready = np.array(ready)
    return torch.from_numpy(ready).to(device)
