"""A chain of services on one broker in memory: each on a thread and a loop of its own, as in a process of its own."""

from __future__ import annotations

import json
import shutil
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem import FileLastHeader, FilePayloads
from flobc.adapters.memory import (
    MemoryBlocks,
    MemoryBroker,
    MemoryLedgerPeer,
    MemoryModels,
    MemoryPayloads,
    MemorySeals,
    MemoryStates,
)
from flobc.composition.genesis import build_federation, build_shards
from flobc.composition.services.ledger import LedgerService
from flobc.composition.services.models import FetchedModels, RecentModels
from flobc.composition.services.parts import UPDATE_PARTITIONS, Loop, Topics
from flobc.composition.services.recording import LedgerStores, Recorder
from flobc.composition.services.snapshots import Snapshots
from flobc.composition.services.trainer import TrainerHost, TrainerKeep, TrainerService, recall_headers
from flobc.composition.services.validator import ServiceParts, ValidatorService
from flobc.composition.settings import RunSettings, build_train_settings
from flobc.learning.tasks import get_task
from flobc.ports.tracing import NO_TRACES, Tracer
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Join
from flobc.runtime.durations import Durations
from flobc.runtime.engine import LearningEngine
from flobc.runtime.joint_training import JointTraining
from flobc.runtime.light_follower import LightFollower
from flobc.runtime.local_scorer import LocalScorer
from flobc.runtime.seeds import derive_seed
from flobc.runtime.trainer_node import TrainerParts
from flobc.runtime.worker_threads import prepare_worker

TASK = "examples.numpy_task:task"
PATIENCE_S = 60.0


def wait_until(condition: Callable[[], bool], what: str) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s, f"{what} did not happen within {PATIENCE_S} s"
        time.sleep(0.01)


class Service:
    """One service's thread: ``build`` makes it on its loop, and returns what stops it."""

    def __init__(self, build: Callable[[Loop], Callable[[], None]], tracer: Tracer = NO_TRACES) -> None:
        self.loop = Loop(prepare_worker)
        self.loop.tracer = tracer
        self.error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, args=(build,), daemon=True)
        self._thread.start()

    def _run(self, build: Callable[[Loop], Callable[[], None]]) -> None:
        try:
            stop = build(self.loop)
            self.loop.run()
            stop()
        except BaseException as error:
            self.error = error

    def stop(self) -> None:
        self.loop.stop()
        self._thread.join(PATIENCE_S)
        assert not self._thread.is_alive()
        if self.error is not None:
            raise self.error


class ServiceWorld:
    """Validators, trainers and a ledger that know each other by topics and peers alone."""

    def __init__(self, settings: RunSettings, directory: Path) -> None:
        self.settings, self.directory = settings, directory
        self.task = get_task(settings.task)
        self.federation = build_federation(settings, self.task)
        self.genesis = self.federation.genesis
        self.shards = build_shards(settings, self.task)
        self.identities = list(self.federation.trainers)
        self.trainer_shards = list(self.shards.trainers)
        self.joins: dict[int, Join | None] = {}
        self.broker = MemoryBroker()
        self.validators: dict[int, tuple[Service, ValidatorService]] = {}
        self.followers: dict[int, LightFollower] = {}
        self.trainers: dict[int, Service] = {}
        self.others: list[Service] = []
        self.tracer: Tracer = NO_TRACES
        self.keep_payloads = True
        self.open_topics()
        self._validator_models = [self._build_models() for _ in self.federation.validators]
        self.validator_payloads = [MemoryPayloads() for _ in self.federation.validators]
        self.validator_seals = [MemorySeals() for _ in self.federation.validators]
        self.blocks = MemoryBlocks(build_initial_state(self.genesis).head_digest)
        self.states, self.models = MemoryStates(), MemoryModels()

    def open_topics(self) -> Topics:
        """Handles of one's own to both topics."""
        return Topics(self.broker.open("log"), self.broker.open("updates", UPDATE_PARTITIONS))

    def _build_models(self) -> MemoryModels:
        models = MemoryModels()
        models.put(self.genesis.initial_model, self.federation.initial_model)
        return models

    def fetch_model(self, digest: bytes) -> NDArray[np.int32] | None:
        """What a validator or ledger is answered by the first validator that holds a model."""
        found = (models.get(digest) for models in self._validator_models)
        return next((model for model in found if model is not None), None)

    def start(self) -> None:
        """Start everybody."""
        for index in range(len(self.federation.validators)):
            self.start_validator(index)
        self.start_ledger()
        for index in range(len(self.federation.trainers)):
            self.start_trainer(index)

    def start_validator(self, index: int) -> None:
        """Start a validator, anew or with what it kept."""
        made: list[ValidatorService] = []

        def build(loop: Loop) -> Callable[[], None]:
            models = FetchedModels(self._validator_models[index], self.fetch_model, loop.stopping)
            payloads = self.validator_payloads[index]
            engine = LearningEngine(self.task, self.genesis, models, payloads)
            parts = ServiceParts(
                self.genesis,
                self.federation.validators[index],
                LocalScorer(engine, self.shards.validators[index], self.genesis),
                payloads,
                self.validator_seals[index],
                engine,
                self.open_topics(),
                Snapshots(self.directory / f"snapshot-{index}", loop),
                keep_payloads=self.keep_payloads,
            )
            service = ValidatorService(parts, loop)
            service.start(lambda: made.append(service))
            return service.stop

        thread = Service(build, self.tracer)
        wait_until(lambda: bool(made) or thread.error is not None, f"validator {index}'s start")
        if thread.error is not None:
            raise thread.error
        self.validators[index] = (thread, made[0])

    def stop_validator(self, index: int) -> None:
        self.validators.pop(index)[0].stop()

    def start_ledger(self) -> None:
        def build(loop: Loop) -> Callable[[], None]:
            stores = LedgerStores(self.blocks, self.states, self.models)
            recorder = Recorder(self.genesis, stores, self.fetch_model, loop, lambda _: None)
            service = LedgerService(self.genesis, self.open_topics().log, recorder, loop)
            service.start(lambda: None)
            return service.stop

        self.others.append(Service(build, self.tracer))

    def start_trainer(self, index: int) -> None:
        """Start a trainer, anew or with what it kept."""
        self.start_trainers((index,))

    def start_newcomer(self, identity: Identity, join: Join | None, shard: int) -> None:
        """Start a trainer that is not in the genesis and learns on another one's shard."""
        self.identities.append(identity)
        self.trainer_shards.append(self.shards.trainers[shard])
        self.joins[len(self.identities) - 1] = join
        self.start_trainer(len(self.identities) - 1)

    def start_trainers(self, indices: Sequence[int], seed: int = 0, *, joint: bool = False) -> None:
        """Start a process of these trainers; another ``seed`` lets them train otherwise than before."""
        ledger = MemoryLedgerPeer(self.genesis, self.blocks, self.states, self.models)

        def build(loop: Loop) -> Callable[[], None]:
            follower = LightFollower(self.genesis, ledger, loop.scheduler)
            updates, keeps = self.open_topics().updates, [self.open_keep(index) for index in indices]
            assert recall_headers([keep.signed for keep in keeps], follower.state.chain, updates, loop)
            models = FetchedModels(RecentModels(), ledger.get_model, loop.stopping)
            engine = LearningEngine(self.task, self.genesis, models, MemoryPayloads())
            training = build_train_settings(self.task.default_settings, json.loads(self.genesis.training))
            together = JointTraining(engine, loop.scheduler) if joint else None
            host = TrainerHost(updates, follower, loop, together)
            for index, keep in zip(indices, keeps, strict=True):
                service = TrainerService(host, keep)
                service.attach(
                    TrainerParts(
                        index=index,
                        identity=self.identities[index],
                        shard=self.trainer_shards[index],
                        settings=training,
                        seed=derive_seed(self.settings.seed + seed, "node", index),
                        engine=engine,
                        follower=follower,
                        scheduler=loop.scheduler,
                        durations=Durations(self.settings.seed),
                        publish=service.publish,
                        starting=service.trace_training,
                        joint=together,
                    ),
                    self.joins.get(index),
                )
            host.start()
            self.followers[indices[0]] = follower

            def stop() -> None:
                host.stop()
                ledger.close()
                follower.stop(PATIENCE_S)

            return stop

        self.trainers[indices[0]] = Service(build, self.tracer)

    def open_keep(self, index: int) -> TrainerKeep:
        """What a trainer keeps on disk."""
        place = self.directory / f"trainer-{index}"
        (place / "spool").mkdir(parents=True, exist_ok=True)
        identity = self.identities[index]
        signed = FileLastHeader(place / "signed", build_initial_state(self.genesis).chain, identity.public_key)
        return TrainerKeep(FilePayloads(place / "spool"), signed)

    def lose_volume(self, index: int) -> None:
        """Leave nothing of what a trainer kept."""
        shutil.rmtree(self.directory / f"trainer-{index}")

    def wipe_ledger(self) -> None:
        """Begin with the first model alone, as a ledger whose Redis was wiped; whoever used it must be stopped."""
        self.blocks = MemoryBlocks(build_initial_state(self.genesis).head_digest)
        self.states, self.models = MemoryStates(), self._build_models()

    def stop_trainers(self, first: int) -> None:
        """Stop the process that begins with this trainer."""
        self.trainers.pop(first).stop()
        del self.followers[first]

    def stop_ledgers(self) -> None:
        while self.others:
            self.others.pop().stop()

    def require_no_error(self) -> None:
        for service in (*(thread for thread, _ in self.validators.values()), *self.trainers.values(), *self.others):
            if service.error is not None:
                raise service.error

    def get_height(self, index: int) -> int:
        """The height that a validator has come to."""
        return self.validators[index][1]._follower.state.height

    def wait_for_height(self, height: int) -> None:
        """Until every validator that runs, every trainer and the ledger have come so far."""

        def arrived() -> bool:
            self.require_no_error()
            heights = [self.get_height(index) for index in self.validators]
            heights += [follower.state.height for follower in self.followers.values()]
            return min(*heights, self.blocks.height) >= height

        wait_until(arrived, f"block {height} everywhere")

    def read_log(self) -> list[bytes]:
        """Every record of the log, good or bad."""
        topic = self.broker.open("log")
        topic.seek({0: 0})
        return [entry.value for entry in topic.read(0.0)]

    def get_blocks(self) -> list[Block]:
        found = [self.blocks.get(height) for height in range(1, self.blocks.height + 1)]
        return [block for block in found if block is not None]

    def stop(self) -> None:
        """Stop everybody; raises what one of them raised."""
        services = [*(thread for thread, _ in self.validators.values()), *self.trainers.values(), *self.others]
        for service in services:
            service.loop.stop()
        for service in services:
            service.stop()
