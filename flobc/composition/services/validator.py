"""The validator service: takes in updates, has them scored on its own shard, votes, aggregates and seals."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from flobc.adapters.filesystem import FileModels, FilePayloads, FileSeals, remove_unfinished
from flobc.adapters.filesystem.keys import load_key_file
from flobc.adapters.grpc import BlobServer
from flobc.composition.retention import Held, Retention
from flobc.composition.run_directory import lock_directory
from flobc.composition.services.connections import build_kafka, build_tls
from flobc.composition.services.gauges import watch_workers
from flobc.composition.services.models import get_sound
from flobc.composition.services.parts import Loop, Topics, load_genesis_file, open_topics
from flobc.composition.services.progress import SHOWN_DIGITS, Progress
from flobc.composition.services.receiving import Receiver
from flobc.composition.services.scoring import ScoringProcesses
from flobc.composition.services.settings import ValidatorSettings
from flobc.composition.services.snapshots import Snapshot, Snapshots
from flobc.composition.services.tracing import TracedLog, TracedScorer, ValidatorTraces, list_trace_ids
from flobc.errors import RemoteProtocolError, UsageError
from flobc.ports.payloads import PayloadStore
from flobc.ports.seals import SealStore
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Join, UpdateHeader, compute_update_id, encode_record
from flobc.protocol.params import Genesis
from flobc.protocol.roles.validator import is_wanted
from flobc.runtime.assembly import is_genuine
from flobc.runtime.durations import Durations
from flobc.runtime.live_follower import LiveFollower
from flobc.runtime.outbox import Outbox
from flobc.runtime.readers import TopicReader
from flobc.runtime.scorer import Scorer
from flobc.runtime.stages import mark
from flobc.runtime.validator_node import ValidatorNode, ValidatorParts

STOP_S = 2.0

logger = logging.getLogger(__name__)


def run_validator(settings: ValidatorSettings, loop: Loop) -> None:
    """Be a validator until the loop is stopped. **Raises** FlobcError when going on makes no sense."""
    genesis = load_genesis_file(settings.genesis)
    loop.metrics.set("flobc_ready", 0)
    identity = load_key_file(settings.key)
    if identity.public_key not in genesis.validators:
        raise UsageError(f"The key in {settings.key} is none of this chain's validators; give the right one.")
    settings.data.mkdir(parents=True, exist_ok=True)
    lock = lock_directory(settings.data)
    models, payloads, seals = open_stores(settings, genesis)
    scorer = ScoringProcesses(settings, genesis, loop.metrics)
    loop.on_stop.append(scorer.close)
    server = BlobServer(genesis, payloads, models, build_tls(settings), loop.metrics, loop.tracer)
    server.set_serving(False)
    topics = None
    try:
        logger.info("serving payloads and models on %s", server.start(settings.listen))
        topics = open_topics(build_kafka(settings, f"validator-{settings.index}"), genesis, loop)
        if topics is not None:
            snapshots = Snapshots(settings.data / "snapshot", loop)
            parts = ServiceParts(
                genesis, identity, scorer, payloads, seals, scorer, topics, snapshots, settings.keep_payloads
            )
            service = ValidatorService(parts, loop)
            missing = {"log", "scorer"}

            def have(what: str) -> None:
                missing.discard(what)
                server.set_serving(not missing)
                loop.metrics.set("flobc_ready", not missing)

            service.start(lambda: have("log"))
            watch_workers(scorer.list_workers, loop)
            loop.scheduler.submit("prepare", scorer.prepare, 0, lambda _: have("scorer"))
            loop.run()
            service.stop()
    finally:
        scorer.close()
        server.stop(1.0)
        if topics is not None:
            topics.close(STOP_S)
        lock.close()


def open_stores(settings: ValidatorSettings, genesis: Genesis) -> tuple[FileModels, FilePayloads, FileSeals]:
    """Open the validator's directory, which must be locked, and put the chain's first model there.

    What a killed process had not finished there is removed. **Raises** UsageError.
    """
    for name in ("payloads", "models", "seals"):
        (settings.data / name).mkdir(exist_ok=True)
        remove_unfinished(settings.data / name)
    models = FileModels(settings.data / "models")
    if settings.initial_model is not None and models.get(genesis.initial_model) is None:
        first = FileModels(settings.initial_model).get(genesis.initial_model)
        if first is None:
            raise UsageError(f"The chain's first model is not in {settings.initial_model}; give where it is.")
        models.put(genesis.initial_model, first)
    # Here the log needs no flushing before a seal, and no payload at all: Kafka has acknowledged what was read from it.
    payloads = FilePayloads(settings.data / "payloads", flush=False)
    return models, payloads, FileSeals(settings.data / "seals", _nothing)


def _nothing() -> None:
    pass


@dataclass(frozen=True)
class ServiceParts:
    """What a validator service is made of. ``held`` forgets models and decoded updates that are of no use any more."""

    genesis: Genesis
    identity: Identity
    scorer: Scorer
    payloads: PayloadStore
    seals: SealStore
    held: Held
    topics: Topics
    snapshots: Snapshots
    keep_payloads: bool


class ValidatorService:
    """One validator between its topics and its directory; its methods run on the loop."""

    def __init__(self, parts: ServiceParts, loop: Loop) -> None:
        self._loop = loop
        self._payloads, self._keeps_payloads = parts.payloads, parts.keep_payloads
        self._snapshots = parts.snapshots
        state = build_initial_state(parts.genesis)
        self._from = parts.snapshots.load(state.chain) or Snapshot(state, 0, {})
        self._retention = Retention(
            parts.held, None if parts.keep_payloads else parts.payloads, parts.genesis.initial_model
        )
        self._traces = ValidatorTraces(loop.tracer)
        self._outbox = Outbox(parts.topics.log)
        log, scorer = TracedLog(self._outbox, self._traces), TracedScorer(parts.scorer, self._traces)
        self._follower = LiveFollower(log, self._from.state, loop.scheduler, self._from.offset)
        self._node = ValidatorNode(
            ValidatorParts(parts.identity, scorer, self._follower, loop.scheduler, parts.seals, Durations(0))
        )
        self._follower.on_commit = self._on_commit
        self._follower.on_refused = self._on_refused
        self._follower.on_closed = lambda state: mark("closed", state.core.height)
        self._follower.on_lost = self._node.wake
        self._follower.on_failure = loop.fail
        self._receiver = Receiver(
            parts.payloads, loop.scheduler, self._wants, self._deliver, self._relay, self._traces.on_begun
        )
        self._log = TopicReader(parts.topics.log, loop.scheduler, self._follower.take, loop.fail)
        self._updates = TopicReader(parts.topics.updates, loop.scheduler, self._receiver.take, loop.fail)
        self._progress = Progress(loop.metrics, self._from.state)
        self._follower.on_record = self._progress.on_record
        self._on_caught_up = _nothing
        self._is_caught_up = False
        self._is_looked_over = False

    def start(self, on_caught_up: Callable[[], None]) -> None:
        """Read the log; what the updates topic brings is of use only after what is in it now."""
        self._on_caught_up = on_caught_up
        self._loop.step = self._step
        self._retention.on_block(self._from.state.height, self._from.state.head.header.model)
        self._log.start({0: self._from.offset}, self._follower.expect)

    def stop(self) -> None:
        """Stop reading."""
        self._log.stop(STOP_S)
        self._outbox.stop(STOP_S)
        if self._is_caught_up:
            self._updates.stop(STOP_S)

    def _step(self) -> None:
        """Do what is owed, once everything was read that was there at the start: before, it may long be paid."""
        if not self._follower.caught_up:
            return
        if not self._is_caught_up:
            self._is_caught_up = self._progress.live = True
            self._loop.scheduler.submit("look over", self._list_sound, 0, self._deliver_all)
            self._updates.start(self._from.updates)
            self._on_caught_up()
            logger.info("caught up at height %d", self._follower.state.height)
        if self._is_looked_over:
            self._node.step()

    def _wants(self, header: UpdateHeader) -> bool:
        """Whether an update may be voted on, or enters the model of a round that waits for its certificate."""
        state = self._follower.state
        if state.closed is not None:
            update = compute_update_id(header)
            if any(decision.update == update for decision in state.closed.body.decisions):
                return True
        return is_wanted(state, header)

    def _relay(self, join: Join) -> None:
        """Bring a trainer's request to join into the log; several validators doing so does no harm.

        One that the chain would refuse is not brought there: anybody could fill the log with such.
        """
        if self._follower.is_waiting(Join):
            return
        record = encode_record(join)
        try:
            apply_record(self._follower.state, record)
        except RemoteProtocolError as error:
            logger.info("did not pass on a request to join: %s", error)
        else:
            self._follower.publish(record)

    def _on_refused(self, record: bytes, rule: str) -> None:
        self._progress.on_refused(self._follower.state, record, rule)
        self._node.on_refused(record)

    def _list_sound(self) -> list[UpdateHeader]:
        """Return the headers of the payloads that are held from before and may still be voted on or entered.

        Damaged ones are dropped, for a power cut may have hit the newest; so are settled ones, unless they are to be
        kept: nobody else remembers them.
        """
        sound = []
        for header in self._payloads.list_headers():
            if not self._wants(header):
                if not self._keeps_payloads:
                    self._payloads.drop([compute_update_id(header)])
                continue
            payload = get_sound(self._payloads.get, compute_update_id(header))
            if payload is not None and is_genuine(payload):
                sound.append(header)
            else:
                self._payloads.drop([compute_update_id(header)])
        return sound

    def _deliver_all(self, headers: list[UpdateHeader]) -> None:
        self._is_looked_over = True
        for header in headers:
            self._deliver(header)

    def _deliver(self, header: UpdateHeader) -> None:
        mark("received", header.base_height + 1)
        self._loop.metrics.add("flobc_updates_received_total")
        self._loop.metrics.add("flobc_update_received_bytes_total", header.size_bytes)
        self._traces.on_received(compute_update_id(header), header.size_bytes)
        self._retention.on_update(header)
        self._node.on_payloads([header])

    def _on_commit(self, state: ChainState) -> None:
        self._retention.on_block(state.height, state.head.header.model)
        self._node.on_commit()
        if self._is_caught_up:
            self._retention.on_commit(state)
            self._receiver.forget_unwanted()
            found = (state.height, len(state.head.accepted), state.head_digest.hex()[:SHOWN_DIGITS])
            linked = list_trace_ids(self._traces.list_accepted(state.head))
            extra = {"height": state.height, "trace": self._traces.blocks.get(state.height), "linked_trace_ids": linked}
            logger.info("block %d: %d accepted, head %s", *found, extra=extra)
            self._snapshots.save(Snapshot(state, self._follower.offset, self._receiver.get_positions()))
