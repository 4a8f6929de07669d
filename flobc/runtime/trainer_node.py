"""A running trainer: trains from each certified model and publishes signed updates."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from flobc.errors import NotHeld, PayloadFault, UsageError
from flobc.learning.attacks import Attack, KnowingAttack, Knowledge
from flobc.learning.task import Examples, TrainSettings
from flobc.ports.payloads import Payload
from flobc.ports.scheduler import Scheduler
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Join, UpdateHeader, encode_record, sign
from flobc.protocol.roles import trainer as rules
from flobc.protocol.roles.duties import Publish, Train
from flobc.protocol.sync.policies import is_base_allowed, is_k_allowed
from flobc.runtime.durations import Durations
from flobc.runtime.engine import LearningEngine
from flobc.runtime.follower import Follower
from flobc.runtime.joint_training import Finish, Trainings
from flobc.runtime.local_updates import (
    LocalUpdate,
    ModelView,
    TrainedUpdate,
    Training,
    Vector,
    finish_training,
    make_garbage,
    make_update,
)
from flobc.runtime.seeds import derive_seed
from flobc.runtime.stages import mark


@dataclass(frozen=True)
class TrainerParts:
    """What a trainer is made of: its key, its private shard, its settings, and the ports it works through."""

    index: int
    identity: Identity
    shard: Examples
    settings: TrainSettings
    seed: int
    engine: LearningEngine
    follower: Follower
    scheduler: Scheduler
    durations: Durations
    publish: Callable[[Payload], None]
    on_signed: Callable[[Payload, LocalUpdate], None] | None = None
    """Told of each payload, and of what it was made of, on the worker that made it, before it is published."""
    starting: Callable[[Train], AbstractContextManager[None]] = lambda _: contextlib.nullcontext()
    """Told of each training; it is started inside."""
    attack: Attack | None = None
    know: Callable[[Train], Knowledge] | None = None
    """What an attack that looks at others' updates is told; called on the worker."""
    joint: Trainings | None = None
    """Where trainings wait for those of other trainers of the process; without it each is a job of its own."""


@dataclass(frozen=True)
class LocalResult:
    """One finished local training: what to publish and what the next goes on from.

    There is nothing to publish when it diverged or its base is gone.
    """

    payload: Payload | None
    vector: Vector
    residual: Vector | None


_NOTHING = LocalResult(None, np.empty(0, np.float32), None)


class TrainerNode:
    """One trainer; all its methods run on the scheduler's loop."""

    def __init__(self, parts: TrainerParts, join: Join | None = None) -> None:
        self._parts = parts
        self._role = rules.TrainerRole(parts.identity.public_key, join)
        self._current: Train | None = None
        self._asked: tuple[object, object, object] = (None, None, None)
        self._grounds: tuple[object, ...] = ()
        self._diverged_base = -1
        self._local: tuple[int, Vector] | None = None
        self._residuals: tuple[Vector | None, Vector | None] = (None, None)
        self._held: list[Payload] = []

    @property
    def _state(self) -> ChainState:
        return self._parts.follower.state

    def on_own_header(self, header: UpdateHeader) -> None:
        """Remember a header that was signed before a restart, so that it is never signed twice (ROUND-2)."""
        self._role = rules.on_published(self._role, header)

    @property
    def has_diverged(self) -> bool:
        """Whether training from the head gave an update that no codec can express, so that none was published."""
        return self._diverged_base == self._state.height

    def step(self) -> bool:
        """Start what is owed and not under way; return whether the chain moved."""
        # Immutable, all of it, so the same objects owe the same duties. Asked after every event of the loop,
        # and most events move nothing.
        state = self._state
        if state is self._asked[0] and self._role is self._asked[1] and self._current is self._asked[2]:
            return False
        self._asked = (state, self._role, self._current)
        self._publish_held()
        grounds = (*rules.get_grounds(self._role, state), self._current)
        if grounds == self._grounds:
            return False
        self._grounds = grounds
        for duty in rules.get_duties(self._role, self._state):
            if isinstance(duty, Publish) and isinstance(duty.message, Join):
                return self._parts.follower.publish(encode_record(sign(duty.message, self._parts.identity)))
            if isinstance(duty, Train) and self._is_free(duty):
                self._start(duty)
        return False

    def _is_free(self, duty: Train) -> bool:
        """A training that can bring nothing any more is given up for the new one.

        Its base has become too old, or a block has this trainer's update from it: of work ahead (k > 0) only what is
        decided in the same round counts.
        """
        if duty.base_height == self._diverged_base:
            return False
        current = self._current
        return current is None or not rules.is_of_use(self._role, self._state, current.base_height)

    def _start(self, duty: Train) -> None:
        self._current = duty
        parts = self._parts
        start = None
        if duty.k > 0 and self._local is not None and self._local[0] == duty.base_height:
            start = self._local[1]
        if duty.k == 0:  # updates from one base are cumulative, so all of them start from one residual
            self._residuals = (self._residuals[1], self._residuals[1])
        residual = self._residuals[0]
        state = self._state
        seed = derive_seed(parts.seed, "train", parts.index, duty.base_height, duty.k)
        training = Training(
            duty.model,
            start,
            parts.shard,
            parts.settings,
            seed,
            encodes=parts.attack is None,
            residual=residual,
            ahead=parts.on_signed is not None,
        )

        def finish(view: ModelView, trained: TrainedUpdate) -> LocalResult:
            return self._sign(duty, state, view, trained, residual)

        def done(result: LocalResult | None) -> None:
            self._on_trained(duty, result or _NOTHING)

        if parts.joint is not None:
            with parts.starting(duty):
                parts.joint.add(training, finish, done)
            return
        duration_ms = parts.durations.draw(
            parts.durations.train_ms, parts.identity.public_key.hex(), duty.base_height, duty.k
        )
        with parts.starting(duty):
            parts.scheduler.submit("train", lambda: self._train(training, finish), duration_ms, done)

    def _train(self, training: Training, finish: Finish[LocalResult]) -> LocalResult | None:
        engine = self._parts.engine
        try:
            view = engine.get_view(training.model)
        except NotHeld:  # the chain has gone on, and nobody trains from this model any more
            return None
        vector = engine.train(training.get_start(view), training.shard, training.settings, training.seed)
        return finish(view, finish_training(engine.coding, view, training, vector))

    def _sign(
        self, duty: Train, state: ChainState, view: ModelView, trained: TrainedUpdate, residual: Vector | None
    ) -> LocalResult:
        """Make and sign the payload; runs beside the loop, so it reads only what cannot change."""
        parts = self._parts
        made = trained.update
        if parts.attack is not None:
            made = self._attack(parts.attack, duty, view, trained.vector, residual)
        if made is None:
            return LocalResult(None, trained.vector, residual)
        encoded = made.encoded
        header = UpdateHeader(
            chain=state.chain,
            trainer=parts.identity.public_key,
            base_height=duty.base_height,
            k=duty.k,
            num_examples=len(parts.shard),
            codec=state.params.codec,
            norm=encoded.norm,
            payload_root=made.root,
            num_chunks=len(encoded.chunks),
            size_bytes=sum(map(len, encoded.chunks)),
        )
        payload = Payload(sign(header, parts.identity), encoded.chunks, encoded.digests)
        mark("signed", duty.base_height + 1)
        if parts.on_signed is not None:
            parts.on_signed(payload, made)
        return LocalResult(payload, trained.vector, encoded.residual)

    def _attack(
        self, attack: Attack, duty: Train, view: ModelView, vector: Vector, residual: Vector | None
    ) -> LocalUpdate:
        coding = self._parts.engine.coding
        delta = self._poison(attack, duty, vector - view.vector)
        try:
            return make_update(coding, view, delta, None, residual, ahead=self._parts.on_signed is not None)
        except PayloadFault:
            return make_garbage(coding)

    def _poison(self, attack: Attack, duty: Train, delta: Vector) -> Vector:
        parts = self._parts
        seed = derive_seed(parts.seed, "train", parts.index, duty.base_height, duty.k)
        rng = np.random.Generator(np.random.PCG64(derive_seed(seed, "attack")))
        if not isinstance(attack, KnowingAttack):
            return attack.poison_update(delta, rng, parts.index)
        if parts.know is None:
            raise UsageError(
                f"The attack {attack.name} needs to know others' updates, which nobody does here; choose another."
            )
        return attack.forge(delta, parts.know(duty), rng, parts.index)

    def _on_trained(self, duty: Train, result: LocalResult) -> None:
        if duty is not self._current:
            return
        self._current = None
        if result.payload is None:
            self._diverged_base = duty.base_height
            return
        goes_on = is_k_allowed(self._state.params.sync, duty.k + 1)
        self._local = (duty.base_height, result.vector) if goes_on else None
        self._residuals = (self._residuals[0], result.residual)
        self._role = rules.on_published(self._role, result.payload.header)
        self._held.append(result.payload)
        self._publish_held()

    def _publish_held(self) -> None:
        """Publish what waits: at once, but for an attack that lets its updates grow as old as they may."""
        attack, state = self._parts.attack, self._state
        waits = attack is not None and attack.holds_back
        for payload in [*self._held]:
            if not (waits and is_base_allowed(state.params.sync, payload.header.base_height, state.height + 1)):
                self._held.remove(payload)
                self._parts.publish(payload)
