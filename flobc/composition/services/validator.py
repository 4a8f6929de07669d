"""The validator service: takes in updates, scores them on its own shard, votes, aggregates and seals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from flobc.adapters.filesystem import FileModels, FilePayloads, FileSeals
from flobc.adapters.filesystem.keys import load_key_file
from flobc.adapters.grpc import BlobClient, BlobServer
from flobc.composition.genesis import load_validation_shard
from flobc.composition.retention import Retention
from flobc.composition.services.connections import build_kafka, build_tls
from flobc.composition.services.models import FetchedModels
from flobc.composition.services.parts import Loop, Topics, load_genesis_file, open_topics
from flobc.composition.services.settings import ValidatorSettings, split_addresses
from flobc.errors import RemoteProtocolError, UsageError
from flobc.learning.task import Examples
from flobc.learning.tasks import get_task
from flobc.ports.payloads import Payload
from flobc.ports.topics import Entry
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Join, UpdateChunk, UpdateHeader, compute_update_id, decode_record
from flobc.protocol.params import Genesis
from flobc.protocol.roles.validator import is_wanted
from flobc.runtime.durations import Durations
from flobc.runtime.engine import LearningEngine
from flobc.runtime.live_follower import LiveFollower
from flobc.runtime.readers import TopicReader
from flobc.runtime.transfer import Assembler
from flobc.runtime.validator_node import ValidatorNode, ValidatorParts

STOP_S = 5.0

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ValidatorStores:
    """What a validator keeps in its directory."""

    payloads: FilePayloads
    models: FetchedModels
    seals: FileSeals


def open_stores(settings: ValidatorSettings, genesis: Genesis, loop: Loop) -> ValidatorStores:
    """Open the validator's directory and put the chain's first model there. **Raises** UsageError."""
    for name in ("payloads", "models", "seals"):
        (settings.data / name).mkdir(parents=True, exist_ok=True)
    models = FileModels(settings.data / "models")
    if settings.initial_model is not None and models.get(genesis.initial_model) is None:
        first = FileModels(settings.initial_model).get(genesis.initial_model)
        if first is None:
            raise UsageError(f"The chain's first model is not in {settings.initial_model}; give where it is.")
        models.put(genesis.initial_model, first)
    peers = split_addresses(settings.validators)
    fetched = FetchedModels(models, BlobClient(peers, build_tls(settings)).get_model if peers else None, loop.stopping)
    # Here the log needs no flushing before a seal: Kafka has acknowledged what was read from it.
    return ValidatorStores(
        FilePayloads(settings.data / "payloads"), fetched, FileSeals(settings.data / "seals", _nothing)
    )


def _nothing() -> None:
    pass


def run_validator(settings: ValidatorSettings, loop: Loop) -> None:
    """Be a validator until the loop is stopped. **Raises** FlobcError when going on makes no sense."""
    genesis = load_genesis_file(settings.genesis)
    identity = load_key_file(settings.key)
    if identity.public_key not in genesis.validators:
        raise UsageError(f"The key in {settings.key} is none of this chain's validators; give the right one.")
    stores = open_stores(settings, genesis, loop)
    shard = load_validation_shard(get_task(genesis.task), settings.get_place())
    server = BlobServer(genesis, stores.payloads, stores.models.local, build_tls(settings))
    server.set_serving(False)
    logger.info("serving payloads and models on %s", server.start(settings.listen))
    topics = open_topics(build_kafka(settings, f"validator-{settings.index}"), genesis, loop)
    try:
        if topics is not None:
            service = ValidatorService(genesis, identity, shard, stores, topics, loop, settings.keep_payloads)
            service.start(lambda: server.set_serving(True))
            loop.run()
            service.stop()
    finally:
        server.stop(1.0)
        if topics is not None:
            topics.close(STOP_S)


class ValidatorService:
    """One validator between its topics and its directory; its methods run on the loop."""

    def __init__(
        self,
        genesis: Genesis,
        identity: Identity,
        shard: Examples,
        stores: ValidatorStores,
        topics: Topics,
        loop: Loop,
        keep_payloads: bool,
    ) -> None:
        self._loop = loop
        self._payloads = stores.payloads
        engine = LearningEngine(get_task(genesis.task), genesis, stores.models, stores.payloads)
        self._retention = Retention(engine, None if keep_payloads else stores.payloads, genesis.initial_model)
        self._follower = LiveFollower(topics.log, build_initial_state(genesis), loop.scheduler)
        self._node = ValidatorNode(
            ValidatorParts(identity, shard, engine, self._follower, loop.scheduler, stores.seals, Durations(0))
        )
        self._follower.on_commit = self._on_commit
        self._follower.on_refused = self._node.on_refused
        self._follower.on_lost = self._node.wake
        self._assembler = Assembler(self._wants)
        self._log = TopicReader(topics.log, loop.scheduler, self._follower.take, loop.fail)
        self._updates = TopicReader(topics.updates, loop.scheduler, self._on_updates, loop.fail)
        self._on_caught_up = _nothing
        self._is_caught_up = False

    def start(self, on_caught_up: Callable[[], None]) -> None:
        """Read the log from its beginning; what the updates topic brings is of use only after that."""
        self._on_caught_up = on_caught_up
        self._loop.step = self._step
        self._log.start({})

    def stop(self) -> None:
        """Stop reading."""
        self._log.stop(STOP_S)
        if self._is_caught_up:
            self._updates.stop(STOP_S)

    def _step(self) -> None:
        """Do what is owed, once everything was read that was there at the start: before, it may long be paid."""
        if not self._follower.caught_up:
            return
        if not self._is_caught_up:
            self._is_caught_up = True
            for header in self._payloads.list_headers():
                self._deliver(header)
            self._updates.start({})
            self._on_caught_up()
            logger.info("caught up at height %d", self._follower.state.height)
        self._node.step()

    def _wants(self, header: UpdateHeader) -> bool:
        return is_wanted(self._follower.state, header)

    def _on_updates(self, entries: list[Entry]) -> None:
        for entry in entries:
            try:
                record = decode_record(entry.value)
            except RemoteProtocolError as error:
                logger.info("ignored a record of the updates topic: %s", error)
                continue
            if isinstance(record, Join):
                self._relay(entry.value, record)
            elif isinstance(record, UpdateHeader | UpdateChunk):
                payload = self._assembler.take(record)
                if payload is not None:
                    self._store(payload)

    def _relay(self, record: bytes, join: Join) -> None:
        """Bring a trainer's request to join into the log; several validators doing so does no harm.

        One that the chain would refuse is not brought there: anybody could fill the log with such.
        """
        if self._follower.is_waiting(join):
            return
        try:
            apply_record(self._follower.state, record)
        except RemoteProtocolError as error:
            logger.info("did not pass on a request to join: %s", error)
        else:
            self._follower.publish(record)

    def _store(self, payload: Payload) -> None:
        update = compute_update_id(payload.header)

        def put() -> None:
            self._payloads.put(update, payload)

        self._loop.scheduler.submit("store", put, 0, lambda _: self._deliver(payload.header))

    def _deliver(self, header: UpdateHeader) -> None:
        self._retention.on_update(header)
        self._node.on_payload(header)

    def _on_commit(self, state: ChainState) -> None:
        self._retention.on_block(state.height, state.head.header.model)
        self._node.on_commit()
        if self._is_caught_up:
            self._retention.on_commit(state)
            self._assembler.keep_only(self._wants)
            logger.info("block %d: %d accepted", state.height, len(state.head.accepted), extra={"height": state.height})
