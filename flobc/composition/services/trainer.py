"""The trainer service: follows the chain by certificates, trains on its own shard, publishes signed updates."""

from __future__ import annotations

import contextlib
import json
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from flobc.adapters.filesystem import FileLastHeader, FilePayloads
from flobc.adapters.filesystem.keys import load_key_file
from flobc.adapters.grpc import LedgerClient
from flobc.adapters.memory import MemoryPayloads
from flobc.composition.genesis import load_training_shards
from flobc.composition.organisations.invitations import find_join
from flobc.composition.run_directory import lock_directory
from flobc.composition.services.connections import build_kafka, build_tls
from flobc.composition.services.models import FetchedModels, RecentModels
from flobc.composition.services.parts import Loop, load_genesis_file, open_topic
from flobc.composition.services.progress import describe_chain, note_height
from flobc.composition.services.settings import TrainerSettings, split_addresses
from flobc.composition.settings import build_train_settings
from flobc.learning.many import prefers_many
from flobc.learning.task import Examples
from flobc.learning.tasks import get_task
from flobc.ports.payloads import Payload
from flobc.ports.topics import Topic
from flobc.ports.tracing import NO_SPAN, Span, within
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Join, UpdateHeader, compute_update_id, decode_record
from flobc.protocol.roles.duties import Train
from flobc.protocol.sync.policies import is_base_allowed
from flobc.runtime.durations import Durations
from flobc.runtime.engine import LearningEngine
from flobc.runtime.joint_training import JointTraining
from flobc.runtime.light_follower import LightFollower
from flobc.runtime.own_headers import find_last_headers
from flobc.runtime.seeds import derive_seed
from flobc.runtime.stages import mark
from flobc.runtime.trainer_node import TrainerNode, TrainerParts
from flobc.runtime.transfer import build_records
from flobc.runtime.update_sender import UpdateSender

THREAD_STOP_S = 1.0
"""What the sender and the follower may need to end."""
WRITER_STOP_S = 1.5
"""How long Kafka may take to acknowledge what is on its way; the spool holds it anyway."""
RETRY_MS = 2_000
REJOIN_MS = 5_000
"""After how long a request to join is made again: validators pass on one at a time, and one may get lost."""

logger = logging.getLogger(__name__)


def run_trainer(settings: TrainerSettings, loop: Loop) -> None:
    """Be one trainer or several until the loop is stopped. **Raises** FlobcError when going on makes no sense."""
    genesis = load_genesis_file(settings.genesis)
    loop.metrics.set("flobc_ready", 0)
    indices = settings.list_indices()
    identities = [load_key_file(settings.get_key_path(index)) for index in indices]
    joins = [find_join(genesis, identity, settings.invitation) for identity in identities]
    task = get_task(genesis.task)
    shards = load_training_shards(task, settings.get_place(), len(indices))
    settings.data.mkdir(parents=True, exist_ok=True)
    with contextlib.ExitStack() as closing:
        closing.enter_context(lock_directory(settings.data))
        ledger = LedgerClient(split_addresses(settings.ledgers), build_tls(settings))
        closing.callback(ledger.close)
        follower = LightFollower(genesis, ledger, loop.scheduler)

        def is_newest(model: bytes) -> bool:
            """Older models may be nowhere any more, and who waits for one keeps a worker from the newest."""
            return model == follower.state.head.header.model

        models = FetchedModels(RecentModels(), ledger.get_model, loop.stopping, is_newest)
        updates = open_topic(build_kafka(settings, f"trainer-{settings.index}"), genesis, "updates", loop)
        if updates is None:
            return
        closing.callback(updates.close, WRITER_STOP_S)
        keeps = [
            open_keep(settings, follower.state.chain, identity, index)
            for index, identity in zip(indices, identities, strict=True)
        ]
        if not recall_headers([keep.signed for keep in keeps], follower.state.chain, updates, loop):
            return
        engine = LearningEngine(task, genesis, models, MemoryPayloads())
        host = TrainerHost(updates, follower, loop, build_joint(engine, shards, loop))
        for index, identity, shard, keep, join in zip(indices, identities, shards, keeps, joins, strict=True):
            service = TrainerService(host, keep)
            service.attach(
                TrainerParts(
                    index=index,
                    identity=identity,
                    shard=shard,
                    settings=build_train_settings(task.default_settings, json.loads(genesis.training)),
                    seed=derive_seed(settings.seed, "node", index),
                    engine=engine,
                    follower=follower,
                    scheduler=loop.scheduler,
                    durations=Durations(settings.seed),
                    publish=service.publish,
                    starting=service.trace_training,
                    joint=host.joint,
                ),
                join,
            )
        host.start()
        try:
            loop.run()
        finally:
            host.stop()
            ledger.close()  # or the follower would wait for the next block
            follower.stop(THREAD_STOP_S)


@dataclass(frozen=True)
class TrainerKeep:
    """What a trainer keeps on disk: updates that may still be of use, and the last header it signed."""

    spool: FilePayloads
    signed: FileLastHeader


def open_keep(settings: TrainerSettings, chain: bytes, identity: Identity, index: int) -> TrainerKeep:
    """Return a trainer's stores; each has its own spool in a process of several."""
    name = "spool" if settings.trainers_per_process == 1 else f"spool-{index}"
    (settings.data / name).mkdir(parents=True, exist_ok=True)
    signed = FileLastHeader(settings.data / "signed", chain, identity.public_key)
    return TrainerKeep(FilePayloads(settings.data / name), signed)


def recall_headers(signed: Sequence[FileLastHeader], chain: bytes, updates: Topic, loop: Loop) -> bool:
    """Make durable what a trainer without memory signed before, by what the updates topic holds; False when stopped.

    A trainer that never signed anything reads in vain: it cannot know.
    """
    lost = {each.trainer: each for each in signed if each.load() is None}

    def read_back() -> None:
        for trainer, header in find_last_headers(updates, chain, lost, loop.stopping).items():
            logger.info("signed an update from base %d before", header.base_height)
            lost[trainer].save(header)

    return not lost or loop.wait_for("Kafka", read_back)


def build_joint(engine: LearningEngine, shards: Sequence[Examples], loop: Loop) -> JointTraining | None:
    """Return where trainers train together, or None where each of them alone is quicker."""
    if len(shards) == 1 or not prefers_many(engine.task, shards[0]):
        return None
    return JointTraining(engine, loop.scheduler)


class TrainerHost:
    """What the trainers of one process share: a follower, a writer to the updates topic, and the loop."""

    def __init__(self, updates: Topic, follower: LightFollower, loop: Loop, joint: JointTraining | None = None) -> None:
        self.follower = follower
        self.loop = loop
        self.joint = joint
        self.sender = UpdateSender(updates, loop.scheduler, loop.fail)
        self._services: list[TrainerService] = []

    def add(self, service: TrainerService) -> None:
        """Take a trainer in, before the loop runs."""
        self._services.append(service)

    def start(self) -> None:
        """Begin to follow and to send; what is owed is done as the loop runs."""
        self.follower.on_block = self._on_block
        describe_chain(self.loop.metrics, self.follower.state.genesis)
        self.follower.on_publish = self._ask_to_join
        self.loop.step = self._step
        self.sender.start()
        self.follower.start()

    def stop(self) -> None:
        """Send nothing more; the follower is its ledger's owner's to stop."""
        self.sender.stop(THREAD_STOP_S)

    def _on_block(self, state: ChainState) -> None:
        note_height(self.loop.metrics, state.height)
        for service in self._services:
            service.forget()

    def _ask_to_join(self, record: bytes) -> None:
        join = decode_record(record)
        for service in self._services:
            if isinstance(join, Join) and service.key == join.trainer:
                service.ask_to_join(record)

    def _step(self) -> None:
        """Do what is owed at the chain's head: training from every old height would come too late and be in the way."""
        if not self.follower.caught_up:
            return
        self.loop.metrics.set("flobc_ready", 1)
        for service in self._services:
            service.step()
        if self.joint is not None:
            self.joint.start()


class TrainerService:
    """One trainer between a ledger, its spool and the updates topic; its methods run on the loop."""

    def __init__(self, host: TrainerHost, keep: TrainerKeep) -> None:
        self._host = host
        self._keep = keep
        self._follower = host.follower
        self._loop = host.loop
        self._is_asking = False
        self._training: Span = NO_SPAN
        self.key = keep.signed.trainer
        host.add(self)

    def attach(self, parts: TrainerParts, join: Join | None = None) -> None:
        """Make the node, and tell it what it signed before a restart, so that it never signs it twice (ROUND-2).

        What the spool holds is sent again: whether it arrived before the restart is not known, and equal records
        do no harm.
        """
        self._node = TrainerNode(parts, join)
        last = self._keep.signed.load()
        if last is not None:
            self._node.on_own_header(last)
        for header in self._keep.spool.list_headers():
            payload = self._keep.spool.get(compute_update_id(header))
            if payload is not None and self._is_own(header):
                self._node.on_own_header(header)
                self._send(payload)

    @contextlib.contextmanager
    def trace_training(self, duty: Train) -> Iterator[None]:
        """Begin the trace of an update; what is done inside belongs to it."""
        self._training.end(error="given up")
        self._training = self._loop.tracer.start("train", base_height=duty.base_height, k=duty.k)
        with within(self._training.trace):
            yield

    def publish(self, payload: Payload) -> None:
        """Make an update durable, then send it: after a crash the same bytes are sent again."""
        trace = self._training.trace
        self._training.end(update=compute_update_id(payload.header).hex(), trainer=self.key.hex())

        def keep() -> None:
            self._keep.signed.save(payload.header)
            self._keep.spool.put(compute_update_id(payload.header), payload)

        self._loop.scheduler.submit("spool", keep, 0, lambda _: self._send(payload, trace))

    def step(self) -> None:
        """Start what the trainer owes."""
        self._node.step()

    def forget(self) -> None:
        """Drop from the spool what nobody can use any more."""
        old = [header for header in self._keep.spool.list_headers() if not self._is_of_use(header)]
        self._keep.spool.drop([compute_update_id(header) for header in old])

    def ask_to_join(self, record: bytes) -> None:
        """Publish a request to join, and again while no block has the trainer."""
        if self._is_asking:
            return
        self._is_asking = True

        def ask_again() -> None:
            self._is_asking = False
            if self.key not in self._follower.state.core.trainers:
                self.ask_to_join(record)

        def finish(sent: bool) -> None:
            if sent:
                logger.info("asked to join")
            self._loop.scheduler.call_later(REJOIN_MS, ask_again)

        self._host.sender.send(self.key, [record], finish)

    def _send(self, payload: Payload, trace: str = "") -> None:
        """Send an update; ``trace`` is its training's, which is not known any more after a restart."""
        update = compute_update_id(payload.header).hex()
        span = self._loop.tracer.start("publish", trace, update=update, trainer=self.key.hex())

        def finish(sent: bool) -> None:
            header = payload.header
            span.end(**({} if sent else {"error": "not taken"}))
            if sent:
                mark("published", header.base_height + 1)
                self._loop.metrics.add("flobc_updates_published_total")
                extra = {"trace": span.trace, "update": update}
                logger.info("published an update from base %d", header.base_height, extra=extra)
            elif self._is_of_use(header):
                logger.warning("an update from base %d was not taken and is sent again", header.base_height)
                self._loop.scheduler.call_later(RETRY_MS, lambda: self._send(payload, trace))

        self._host.sender.send(payload.header.trainer, build_records(payload), finish, span.trace)

    def _is_own(self, header: UpdateHeader) -> bool:
        return (header.chain, header.trainer) == (self._follower.state.chain, self.key)

    def _is_of_use(self, header: UpdateHeader) -> bool:
        """Whether an update may still be decided; its base may be ahead of a follower that has not caught up."""
        state = self._follower.state
        return header.base_height > state.height or is_base_allowed(state.params.sync, header.base_height, state.height)
