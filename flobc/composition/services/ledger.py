"""The ledger service: records certified blocks, their states and models in Redis, and serves them."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from flobc.adapters.grpc import BlobClient, LedgerServer
from flobc.adapters.redis import RedisBlocks, RedisModels, RedisStates, check_server, connect
from flobc.composition.services.connections import build_kafka, build_redis, build_tls
from flobc.composition.services.models import Fetch
from flobc.composition.services.parts import Loop, Topics, load_genesis_file, open_topics
from flobc.composition.services.settings import LedgerSettings, split_addresses
from flobc.errors import FlobcError, TransientError
from flobc.ports.blocks import BlockStore
from flobc.ports.models import ModelStore
from flobc.ports.states import StateStore
from flobc.ports.topics import Entry
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.encoding import encode
from flobc.protocol.params import Genesis, get_chain_id
from flobc.runtime.live_follower import LiveFollower
from flobc.runtime.readers import TopicReader

STOP_S = 5.0
RETRY_MS = 500
WATCH_MS = 2_000
KEPT_MODELS = 16
"""How many of the newest models stay in the store; older ones can be rebuilt from the payloads."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class LedgerStores:
    """What a ledger keeps in Redis."""

    blocks: BlockStore
    states: StateStore
    models: ModelStore


def open_stores(settings: LedgerSettings, genesis: Genesis) -> LedgerStores:
    """Return the chain's stores in Redis. **Raises** TransientError while it is away, UsageError when it forgets."""
    client = connect(build_redis(settings, f"flobc:{get_chain_id(genesis).hex()[:16]}"))
    check_server(client)
    return LedgerStores(
        RedisBlocks(client, build_initial_state(genesis).head_digest),
        RedisStates(client),
        RedisModels(client, genesis.model.chunk_size),
    )


def run_ledger(settings: LedgerSettings, loop: Loop) -> None:
    """Be a ledger until the loop is stopped. **Raises** FlobcError when going on makes no sense."""
    genesis = load_genesis_file(settings.genesis)
    opened: list[LedgerStores] = []
    if not loop.wait_for("Redis", lambda: opened.append(open_stores(settings, genesis))):
        return
    topics = open_topics(build_kafka(settings, "ledger"), genesis, loop)
    if topics is None:
        return
    peers = BlobClient(split_addresses(settings.validators), build_tls(settings))
    stores = opened[0]
    server = LedgerServer(genesis, stores.blocks, stores.states, stores.models, build_tls(settings))
    server.set_serving(False)
    logger.info("serving the chain on %s", server.start(settings.listen))
    recorder = Recorder(genesis, stores, peers.get_model, loop, server.notify)
    service = LedgerService(genesis, topics, recorder, loop)
    try:
        service.start(lambda: server.set_serving(True))
        loop.run()
    finally:
        service.stop()
        server.stop(1.0)
        peers.close()
        topics.close(STOP_S)


@dataclass(frozen=True)
class Written:
    """What came of writing: how many of the waiting blocks stand in the store, and what to do next."""

    count: int = 0
    complete: bool = False
    behind: bool = False


class Recorder:
    """Writes certified blocks one after the other, each after the state and the model that it names.

    Every step may be done twice or by two ledgers at once, so after any failure it simply tries again. Only the
    newest models are fetched, and of these only the very newest must be had: whoever makes the next block builds
    on it. A ledger that reads the log anew knows less than the store holds, so it forgets nothing until it has come
    as far as the store. ``on_behind`` is called when the store has lost blocks that were recorded; whoever is told
    has to add every block again.
    """

    def __init__(
        self, genesis: Genesis, stores: LedgerStores, fetch: Fetch, loop: Loop, on_recorded: Callable[[int], None]
    ) -> None:
        self._genesis = genesis
        self._stores = stores
        self._fetch = fetch
        self._loop = loop
        self._on_recorded = on_recorded
        self.on_behind: Callable[[], None] = lambda: None
        self._forget()
        self._is_busy = False

    def start(self) -> None:
        """Write the first model, and look again and again whether the store still has what was recorded."""
        self.go_on()
        self._loop.scheduler.call_later(WATCH_MS, self.start)

    def add(self, block: Block, state: bytes) -> None:
        """Take the next certified block and the encoded core state that it commits to."""
        self._waiting.append((block, state))
        self._models.append(block.header.model)
        self.go_on()

    def go_on(self) -> None:
        """Write what waits, on a worker."""
        if self._is_busy:
            return
        self._is_busy = True
        batch, models, recorded = tuple(self._waiting), tuple(self._models), self._recorded
        self._loop.scheduler.submit("record", lambda: self._write(batch, models, recorded), 0, self._finish)

    def _forget(self) -> None:
        self._recorded = 0
        self._waiting: deque[tuple[Block, bytes]] = deque()
        self._models: deque[bytes] = deque([self._genesis.initial_model], maxlen=KEPT_MODELS)

    def _finish(self, outcome: Written) -> None:
        self._is_busy = False
        for _ in range(outcome.count):
            block, _ = self._waiting.popleft()
            self._recorded = block.height
            self._on_recorded(block.height)
        if outcome.behind:
            logger.warning("the store has lost blocks: recording all of them again from the log")
            self._forget()
            self.on_behind()
        elif not outcome.complete:
            self._loop.scheduler.call_later(RETRY_MS, self.go_on)
        elif self._waiting:
            self.go_on()

    def _write(self, batch: tuple[tuple[Block, bytes], ...], models: tuple[bytes, ...], recorded: int) -> Written:
        written = 0
        try:
            height = self._stores.blocks.height
            if height < recorded:
                return Written(behind=True)
            if not batch and recorded:
                return Written(complete=True)
            self._put_model(self._genesis.initial_model)
            for block, state in batch:
                if block.height > height:
                    self._stores.states.put(block.header.state, state)
                    if block.header.model == models[-1]:
                        self._put_model(models[-1])
                    elif block.header.model in models:
                        self._put_model_if_held(block.header.model)
                    if not self._stores.blocks.append(block) and self._stores.blocks.height < block.height:
                        return Written(written, behind=True)
                written += 1
            if batch and batch[-1][0].height >= self._stores.blocks.height:
                self._stores.models.keep_only(frozenset(models) | {self._genesis.initial_model})
                self._put_model(models[-1])  # a ledger that lagged may have forgotten it
        except FlobcError as error:
            logger.warning("not recorded yet: %s", error)
            return Written(written)
        return Written(written, complete=True)

    def _put_model(self, digest: bytes) -> None:
        if not self._put_model_if_held(digest):
            raise TransientError(f"no validator holds model {digest.hex()[:12]} now", RETRY_MS / 1000)

    def _put_model_if_held(self, digest: bytes) -> bool:
        if self._stores.models.get(digest) is None:
            model = self._fetch(digest)
            if model is None:
                return False
            self._stores.models.put(digest, model)
        return True


class LedgerService:
    """One ledger between the log and its recorder; its methods run on the loop."""

    def __init__(self, genesis: Genesis, topics: Topics, recorder: Recorder, loop: Loop) -> None:
        self._recorder = recorder
        self._recorder.on_behind = self._start_again
        self._genesis = genesis
        self._follower = LiveFollower(topics.log, build_initial_state(genesis), loop.scheduler)
        self._follower.on_closed = self._on_closed
        self._follower.on_commit = self._on_commit
        self._log = TopicReader(topics.log, loop.scheduler, self._on_log, loop.fail)
        self._closed_state = b""
        self._on_caught_up: Callable[[], None] | None = None

    def start(self, on_caught_up: Callable[[], None]) -> None:
        """Read the log from its beginning."""
        self._on_caught_up = on_caught_up
        self._recorder.start()
        self._log.start({})
        self._on_log([])

    def stop(self) -> None:
        """Stop reading."""
        self._log.stop(STOP_S)

    def _start_again(self) -> None:
        """Read the whole log once more, for every block of it has to be recorded anew."""
        self._log.rewind()
        self._follower.start_again(build_initial_state(self._genesis))

    def _on_log(self, entries: list[Entry]) -> None:
        self._follower.take(entries)
        if self._on_caught_up is not None and self._follower.caught_up:
            self._on_caught_up()
            self._on_caught_up = None

    def _on_closed(self, state: ChainState) -> None:
        """Keep the core state as it is now, for the block commits to this one; later records change it."""
        self._closed_state = encode(state.core)

    def _on_commit(self, state: ChainState) -> None:
        logger.info("block %d is certified", state.height, extra={"height": state.height})
        self._recorder.add(state.head, self._closed_state)
