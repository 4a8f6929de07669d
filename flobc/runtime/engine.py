"""The numbers behind the duties: train, encode, decode, score and aggregate.

All results are pure functions of what they are named by, so one engine may serve every node of a
process: what several validators would compute alike is computed once. Each node still scores on
its own shard.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

import numpy as np

from flobc.errors import NotHeld
from flobc.learning.many import evaluate_many
from flobc.learning.task import Evaluation, Examples, Task, TrainSettings
from flobc.numerics.parallel import spread
from flobc.ports.models import ModelStore
from flobc.ports.payloads import Payload, PayloadStore
from flobc.protocol.consensus.state import ClosedRound
from flobc.protocol.messages import Fault, UpdateHeader
from flobc.protocol.params import SCORE_ONE, Genesis
from flobc.protocol.scoring import LOSS_LIMIT
from flobc.runtime.aggregation import CheckedPayload, UpdateEngine, get_used
from flobc.runtime.cache import ByteBoundedMemo
from flobc.runtime.local_updates import (
    LocalUpdate,
    ModelView,
    TrainedUpdate,
    Training,
    UpdateCoding,
    Vector,
    build_candidate,
    train_updates,
)

CACHE_BYTES = 512 * 1024 * 1024
"""What the memos of decoded updates and of candidates hold each unless told otherwise; beyond it they decode again."""


def to_micros(evaluation: Evaluation) -> tuple[int, int]:
    """Return (loss, accuracy) in 1e-6 units; a loss that is not finite counts as the largest (ROUND-6)."""
    loss, accuracy = evaluation.loss, evaluation.accuracy
    scaled = loss * SCORE_ONE
    micros = round(scaled) if np.isfinite(scaled) and scaled < LOSS_LIMIT else LOSS_LIMIT
    share = min(max(accuracy * SCORE_ONE, -LOSS_LIMIT), LOSS_LIMIT) if np.isfinite(accuracy) else 0
    return max(0, micros), round(share)


class LearningEngine:
    """Everything a node computes with tensors, for one chain. Thread-safe."""

    def __init__(
        self, task: Task, genesis: Genesis, models: ModelStore, payloads: PayloadStore, cache_bytes: int = CACHE_BYTES
    ) -> None:
        self.task = task
        self.genesis = genesis
        self._updates = UpdateEngine(genesis)
        self.coding = UpdateCoding.of(genesis)
        self.grid = self.coding.grid
        self._models = models
        self._payloads = payloads
        self._cache_bytes = cache_bytes
        self._views: ByteBoundedMemo[ModelView] = ByteBoundedMemo(
            cache_bytes // 4, lambda view: 2 * view.model.nbytes, least=3
        )
        self._checked: ByteBoundedMemo[CheckedPayload] = ByteBoundedMemo(
            cache_bytes, lambda item: 0 if item.update is None else item.update.nbytes
        )
        self._candidates: ByteBoundedMemo[Vector] = ByteBoundedMemo(cache_bytes, lambda vector: vector.nbytes)
        self._results: ByteBoundedMemo[bytes] = ByteBoundedMemo(4096, len)
        self._trained: ByteBoundedMemo[Vector] | None = None

    def get_view(self, digest: bytes) -> ModelView:
        """Return a certified model. **Raises** NotHeld when no store holds it."""
        return self._views.get(digest, lambda: self._load_view(digest))

    def _load_view(self, digest: bytes) -> ModelView:
        model = self._models.get(digest)
        if model is None:
            raise NotHeld(f"Model {digest.hex()[:12]} is not held; rebuild it from the payloads.")
        return ModelView(model, self.grid.to_float(model))

    def train_updates(self, model: bytes, trainings: Sequence[Training]) -> tuple[ModelView, list[TrainedUpdate]]:
        """Return a certified model and what becomes of trainings from it, all with alike settings.

        **Raises** NotHeld when no store holds the model.
        """
        view = self.get_view(model)
        return view, train_updates(self.task, self.coding, view, trainings)

    def train(self, vector: Vector, examples: Examples, settings: TrainSettings, seed: int) -> Vector:
        """Return the vector after local training. A seed stands for one training, whose result is kept for a while."""

        def compute() -> Vector:
            return self.task.train(vector, examples, settings, seed).vector

        return compute() if self._trained is None else self._trained.get(seed.to_bytes(8, "big"), compute)

    def remember_training(self) -> None:
        """Keep what trainings give, for who asks for the same one again."""
        self._trained = ByteBoundedMemo(self._cache_bytes, lambda vector: vector.nbytes)

    def evaluate(self, model: bytes, examples: Examples) -> tuple[int, int]:
        """Return (loss, accuracy) of a certified model in 1e-6 units."""
        return to_micros(self.task.evaluate(self.get_view(model).vector, examples))

    def get_candidate(self, base: bytes, update: bytes, header: UpdateHeader) -> Vector:
        """Return base + probed update, the model that is scored (ROUND-6); call ``check`` first.

        **Shapes**: (D,). **Raises** NotHeld when no store holds base or payload.
        """

        def build() -> Vector:
            return build_candidate(self.coding, self.get_view(base), self.check(update, header).update)

        return self._candidates.get(update, build)

    def evaluate_vectors(self, vectors: Sequence[Vector], examples: Examples) -> list[tuple[int, int]]:
        """Return (loss, accuracy) in 1e-6 units of each of several models. **Shapes**: (D,) each."""
        return [to_micros(found) for found in evaluate_many(self.task, vectors, examples)]

    def remember_own(self, update: bytes, made: LocalUpdate) -> None:
        """Keep what ``check`` and ``get_candidate`` will be asked of an update that this process has encoded."""
        if made.encoded.decoded is not None and made.candidate is not None:
            self._checked.put(update, CheckedPayload(made.encoded.decoded, Fault.NONE))
            self._candidates.put(update, made.candidate)

    def check(self, update: bytes, header: UpdateHeader) -> CheckedPayload:
        """Return the decoded payload or its objective fault (ROUND-8)."""
        return self._checked.get(update, lambda: self._check(update, header))

    def _check(self, update: bytes, header: UpdateHeader) -> CheckedPayload:
        return self._updates.check(Payload(header, self._get_payload(update).chunks))

    def _get_payload(self, update: bytes) -> Payload:
        payload = self._payloads.get(update)
        if payload is None:
            raise NotHeld(f"The payload of update {update.hex()[:12]} is not held; fetch it from a validator.")
        return payload

    def aggregate(self, closed: ClosedRound, parent_model: bytes) -> bytes:
        """Return the digest of the model that a closed round makes, and keep the model (AGG).

        **Raises** LocalProtocolError when an accepted payload turns out faulty here: then this node
        must not get ready with anything.
        """
        key = closed.template.decisions_root + parent_model
        return self._results.get(key, lambda: self._aggregate(closed, parent_model))

    def _aggregate(self, closed: ClosedRound, parent_model: bytes) -> bytes:
        if not get_used(closed.body):
            return parent_model
        with spread():
            model = self._updates.aggregate(closed.body, self.get_view(parent_model).model, self.check)
            view = ModelView(model, self.grid.to_float(model))
            digest = self._updates.compute_digest(model)
        self._models.put(digest, model)
        self._views.put(digest, view)
        return digest

    def keep_models(self, digests: frozenset[bytes]) -> None:
        """Forget every model but these."""
        self._models.keep_only(digests)
        self._views.drop(lambda key: key not in digests)

    def forget_updates(self, updates: Collection[bytes]) -> None:
        """Forget what these updates decode to."""
        self._checked.drop(lambda key: key in updates)
        self._candidates.drop(lambda key: key in updates)
