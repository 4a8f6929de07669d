"""The ledger service: records certified blocks, their states and models in Redis, and serves them."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from flobc.adapters.grpc import BlobClient, LedgerServer
from flobc.adapters.redis import check_server, connect
from flobc.composition.services.connections import build_kafka, build_redis, build_tls
from flobc.composition.services.gauges import watch_redis
from flobc.composition.services.parts import Loop, load_genesis_file, open_topic
from flobc.composition.services.progress import SHOWN_DIGITS, Progress
from flobc.composition.services.recording import Recorder, build_stores, get_prefix, load_past
from flobc.composition.services.settings import LedgerSettings, split_addresses
from flobc.composition.services.snapshots import Snapshot, Snapshots
from flobc.composition.services.tracing import LedgerTraces, list_trace_ids
from flobc.ports.topics import Entry, Topic
from flobc.ports.tracing import NO_SPAN, Span, within
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.params import Genesis
from flobc.runtime.live_follower import LiveFollower
from flobc.runtime.readers import TopicReader

STOP_S = 2.0

logger = logging.getLogger(__name__)


def run_ledger(settings: LedgerSettings, loop: Loop) -> None:
    """Be a ledger until the loop is stopped. **Raises** FlobcError when going on makes no sense."""
    genesis = load_genesis_file(settings.genesis)
    loop.metrics.set("flobc_ready", 0)
    redis = connect(build_redis(settings, get_prefix(genesis)), loop.metrics)
    stores = build_stores(redis, genesis)
    snapshots = Snapshots(settings.data / "snapshot", loop)
    start = snapshots.load(build_initial_state(genesis).chain) or Snapshot(build_initial_state(genesis), 0, {})
    past: list[Block] = []

    def recall() -> None:
        check_server(redis)
        past[:] = load_past(stores, start.state.height)

    parts = (genesis, stores.blocks, stores.states, stores.models)
    server = LedgerServer(*parts, build_tls(settings), loop.metrics, loop.tracer)
    server.set_serving(False)
    peers = BlobClient(split_addresses(settings.validators), build_tls(settings))
    log = None
    try:
        logger.info("serving the chain on %s", server.start(settings.listen))
        if not loop.wait_for("Redis", recall):
            return
        log = open_topic(build_kafka(settings, "ledger"), genesis, "log", loop)
        if log is not None:
            watch_redis(redis, loop)
            recorder = Recorder(genesis, stores, peers.get_model, loop, server.notify)
            recorder.remember(start.state.height, past)
            loop.on_stop.append(peers.close)
            service = LedgerService(genesis, log, recorder, loop, snapshots, start)

            def have_caught_up() -> None:
                server.set_serving(True)
                loop.metrics.set("flobc_ready", 1)

            service.start(have_caught_up)
            loop.run()
            service.stop()
    finally:
        server.stop(1.0)
        peers.close()
        if log is not None:
            log.close(STOP_S)


class LedgerService:
    """One ledger between the log and its recorder; its methods run on the loop.

    It goes on from ``start``. When the store turns out to have lost blocks, it begins again at the log's beginning.
    """

    def __init__(
        self,
        genesis: Genesis,
        log: Topic,
        recorder: Recorder,
        loop: Loop,
        snapshots: Snapshots | None = None,
        start: Snapshot | None = None,
    ) -> None:
        self._recorder = recorder
        self._recorder.on_behind = self._start_again
        self._genesis = genesis
        self._snapshots = snapshots
        self._start = start or Snapshot(build_initial_state(genesis), 0, {})
        self._follower = LiveFollower(log, self._start.state, loop.scheduler, self._start.offset)
        self._follower.on_closed = self._on_closed
        self._follower.on_commit = self._on_commit
        self._log = TopicReader(log, loop.scheduler, self._on_log, loop.fail)
        self._progress = Progress(loop.metrics, self._start.state)
        self._traces = LedgerTraces(loop.tracer)
        self._follower.on_record = self._progress.on_record
        self._follower.on_refused = lambda record, rule: self._progress.on_refused(self._follower.state, record, rule)
        self._closed_state = encode(self._start.state.core)
        self._on_caught_up: Callable[[], None] | None = None

    def start(self, on_caught_up: Callable[[], None]) -> None:
        """Read the log."""
        self._on_caught_up = on_caught_up
        self._recorder.start()
        self._log.start({0: self._start.offset}, self._on_ends)

    def stop(self) -> None:
        """Stop reading."""
        self._log.stop(STOP_S)

    def _start_again(self) -> None:
        """Read the whole log once more, for every block of it has to be recorded anew."""
        self._log.rewind()
        self._follower.start_again(build_initial_state(self._genesis))

    def _on_ends(self, ends: Mapping[int, int]) -> None:
        self._follower.expect(ends)
        self._on_log([])

    def _on_log(self, entries: list[Entry]) -> None:
        if self._on_caught_up is None:
            self._traces.take(entries)
        self._follower.take(entries)
        if self._on_caught_up is not None and self._follower.caught_up:
            self._progress.live = True
            self._on_caught_up()
            self._on_caught_up = None

    def _on_closed(self, state: ChainState) -> None:
        """Keep the core state as it is now, for the block commits to this one; later records change it."""
        self._closed_state = encode(state.core)

    def _on_commit(self, state: ChainState) -> None:
        head = state.head_digest.hex()[:SHOWN_DIGITS]
        span = self._traces.start_record(state.head) if self._on_caught_up is None else NO_SPAN
        linked = list_trace_ids(self._traces.list_accepted(state.head))
        extra = {"height": state.height, "trace": span.trace, "linked_trace_ids": linked}
        logger.info("block %d is certified, head %s", state.height, head, extra=extra)
        snapshot = Snapshot(state, self._follower.offset, {})
        with within(span.trace):
            self._recorder.add(state.head, self._closed_state, lambda: self._keep(snapshot, span))

    def _keep(self, snapshot: Snapshot, span: Span) -> None:
        """Note that everything up to a block is in the store."""
        span.end()
        if self._snapshots is not None:
            self._snapshots.save(snapshot)
