"""The trainer service: follows the chain by certificates, trains on its own shard, publishes signed updates."""

from __future__ import annotations

import json
import logging

from flobc.adapters.filesystem import FilePayloads
from flobc.adapters.filesystem.keys import load_key_file
from flobc.adapters.grpc import LedgerClient
from flobc.adapters.memory import MemoryPayloads
from flobc.composition.genesis import load_training_shard
from flobc.composition.services.connections import build_kafka, build_tls
from flobc.composition.services.models import FetchedModels, RecentModels
from flobc.composition.services.parts import Loop, Topics, load_genesis_file, open_topics
from flobc.composition.services.settings import TrainerSettings, split_addresses
from flobc.composition.settings import build_train_settings
from flobc.errors import TransientError
from flobc.learning.tasks import get_task
from flobc.ports.payloads import Payload
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import UpdateHeader, compute_update_id
from flobc.protocol.sync.policies import is_base_allowed
from flobc.runtime.durations import Durations
from flobc.runtime.engine import LearningEngine
from flobc.runtime.light_follower import LightFollower
from flobc.runtime.seeds import derive_seed
from flobc.runtime.trainer_node import TrainerNode, TrainerParts
from flobc.runtime.transfer import build_records

STOP_S = 5.0
ACKNOWLEDGED_S = 60.0
RETRY_MS = 2_000

logger = logging.getLogger(__name__)


def run_trainer(settings: TrainerSettings, loop: Loop) -> None:
    """Be a trainer until the loop is stopped. **Raises** FlobcError when going on makes no sense."""
    genesis = load_genesis_file(settings.genesis)
    identity = load_key_file(settings.key)
    task = get_task(genesis.task)
    shard = load_training_shard(task, settings.get_place())
    ledger = LedgerClient(split_addresses(settings.ledgers), build_tls(settings))
    follower = LightFollower(genesis, ledger, loop.scheduler)

    def is_newest(model: bytes) -> bool:
        """Older models may be nowhere any more, and who waits for one keeps a worker from the newest."""
        return model == follower.state.head.header.model

    models = FetchedModels(RecentModels(), ledger.get_model, loop.stopping, is_newest)
    topics = open_topics(build_kafka(settings, f"trainer-{settings.index}"), genesis, loop)
    if topics is None:
        return
    spool = FilePayloads(settings.data / "spool")
    (settings.data / "spool").mkdir(parents=True, exist_ok=True)
    service = TrainerService(topics, spool, follower, loop)
    service.attach(
        TrainerParts(
            index=settings.index,
            identity=identity,
            shard=shard,
            settings=build_train_settings(task.default_settings, json.loads(genesis.training)),
            seed=derive_seed(settings.seed, "node", settings.index),
            engine=LearningEngine(task, genesis, models, MemoryPayloads()),
            follower=follower,
            scheduler=loop.scheduler,
            durations=Durations(settings.seed),
            publish=service.publish,
        )
    )
    try:
        follower.start()
        loop.run()
    finally:
        ledger.close()
        follower.stop(STOP_S)
        topics.close(STOP_S)


class TrainerService:
    """One trainer between a ledger, its spool and the updates topic; its methods run on the loop."""

    def __init__(self, topics: Topics, spool: FilePayloads, follower: LightFollower, loop: Loop) -> None:
        self._topics = topics
        self._spool = spool
        self._follower = follower
        self._loop = loop
        follower.on_block = self._on_block

    def attach(self, parts: TrainerParts) -> None:
        """Make the node, and tell it what it signed before a restart, so that it never signs it twice (ROUND-2).

        What the spool holds is sent again: whether it arrived before the restart is not known, and equal records
        do no harm.
        """
        self._node = TrainerNode(parts)
        for header in self._spool.list_headers():
            self._node.on_own_header(header)
            payload = self._spool.get(compute_update_id(header))
            if payload is not None:
                self._send(payload)
        self._loop.step = self._step

    def publish(self, payload: Payload) -> None:
        """Make an update durable, then send it: after a crash the same bytes are sent again."""

        def keep() -> None:
            self._spool.put(compute_update_id(payload.header), payload)

        self._loop.scheduler.submit("spool", keep, 0, lambda _: self._send(payload))

    def _send(self, payload: Payload) -> None:
        def send() -> bool:
            try:
                key = payload.header.trainer
                answers = [self._topics.updates.append(key, record) for record in build_records(payload)]
                for answer in answers:
                    answer.result(ACKNOWLEDGED_S)
            except (TransientError, TimeoutError) as error:
                logger.warning("an update was not taken and is sent again: %s", error)
                return False
            return True

        def finish(sent: bool) -> None:
            header = payload.header
            if sent:
                logger.info("published an update from base %d", header.base_height)
            elif self._is_of_use(header):
                self._loop.scheduler.call_later(RETRY_MS, lambda: self._send(payload))

        self._loop.scheduler.submit("send", send, 0, finish)

    def _is_of_use(self, header: UpdateHeader) -> bool:
        """Whether an update may still be decided; its base may be ahead of a follower that has not caught up."""
        state = self._follower.state
        return header.base_height > state.height or is_base_allowed(state.params.sync, header.base_height, state.height)

    def _on_block(self, state: ChainState) -> None:
        del state
        old = [header for header in self._spool.list_headers() if not self._is_of_use(header)]
        self._spool.drop([compute_update_id(header) for header in old])

    def _step(self) -> None:
        """Do what is owed at the chain's head: training from every old height would come too late and be in the way."""
        if self._follower.caught_up:
            self._node.step()
