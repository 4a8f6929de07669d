"""Writing certified blocks into a ledger's stores."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flobc.adapters.redis import RedisBlocks, RedisClient, RedisModels, RedisStates
from flobc.composition.services.models import Fetch
from flobc.composition.services.parts import Loop
from flobc.errors import DataError, FlobcError, TransientError
from flobc.ports.blocks import BlockStore
from flobc.ports.models import ModelStore
from flobc.ports.states import StateStore
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.params import Genesis, get_chain_id

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


def build_stores(client: RedisClient, genesis: Genesis) -> LedgerStores:
    """Return the chain's stores in Redis, whether or not it is there now."""
    return LedgerStores(
        RedisBlocks(client, build_initial_state(genesis).head_digest),
        RedisStates(client),
        RedisModels(client, genesis.model.chunk_size),
    )


def get_prefix(genesis: Genesis) -> str:
    """Return what stands before every key of the chain in Redis."""
    return f"flobc:{get_chain_id(genesis).hex()[:16]}"


@dataclass(frozen=True)
class Written:
    """What came of writing: how many of the waiting blocks stand in the store, and what to do next."""

    count: int = 0
    complete: bool = False
    behind: bool = False


@dataclass(frozen=True)
class _Waiting:
    """A block that is to be recorded, and who is told then."""

    block: Block
    state: bytes
    on_recorded: Callable[[], None]


class Recorder:
    """Writes certified blocks one after the other, each after the state and the model that it names.

    Every step may be done twice or by two ledgers at once, so after any failure it simply tries again. Only the
    newest models are fetched, and of these only the very newest must be had: whoever makes the next block builds
    on it. A ledger that reads the log anew knows less than the store holds, so it forgets nothing until it has come
    as far as the store. ``on_behind`` is called when the store has lost blocks that were recorded; whoever is told
    has to add every block again.
    """

    def __init__(
        self,
        genesis: Genesis,
        stores: LedgerStores,
        fetch: Fetch,
        loop: Loop,
        on_recorded: Callable[[int], None],
    ) -> None:
        self._genesis = genesis
        self._stores = stores
        self._fetch = fetch
        self._loop = loop
        self._on_recorded = on_recorded
        self.on_behind: Callable[[], None] = lambda: None
        self._sound: set[bytes] = set()
        self._is_busy = False
        self._is_waiting = False
        loop.metrics.add("flobc_job_failures_total", 0, work="record")  # an alert looks at whether it grows
        self._forget()

    def start(self) -> None:
        """Write the first model, and look again and again whether the store still has what was recorded."""
        self.go_on()
        self._loop.scheduler.call_later(WATCH_MS, self.start)

    def remember(self, height: int, past: Sequence[Block]) -> None:
        """Go on after ``height``: the blocks up to there were recorded before, ``past`` are the newest of them."""
        self._recorded = height
        self._models.extend(block.header.model for block in past)

    def add(self, block: Block, state: bytes, on_recorded: Callable[[], None] = lambda: None) -> None:
        """Take the next certified block and the encoded core state that it commits to; ``on_recorded`` is told."""
        self._waiting.append(_Waiting(block, state, on_recorded))
        self._models.append(block.header.model)
        self.go_on()

    def go_on(self) -> None:
        """Write what waits, on a worker."""
        if self._is_busy or self._is_waiting:
            return
        self._is_busy = True
        batch, models, recorded = tuple(self._waiting), tuple(self._models), self._recorded
        self._loop.scheduler.submit("record", lambda: self._write_timed(batch, models, recorded), 0, self._finish)

    def _try_again(self) -> None:
        """Go on a little later; one timer at a time, or each look at a store that is away would add another one."""
        if self._is_waiting:
            return
        self._is_waiting = True

        def wake() -> None:
            self._is_waiting = False
            self.go_on()

        self._loop.scheduler.call_later(RETRY_MS, wake)

    def _forget(self) -> None:
        self._recorded = 0
        self._waiting: deque[_Waiting] = deque()
        self._models: deque[bytes] = deque([self._genesis.initial_model], maxlen=KEPT_MODELS)

    def _finish(self, outcome: Written) -> None:
        self._is_busy = False
        for _ in range(outcome.count):
            item = self._waiting.popleft()
            self._recorded = item.block.height
            self._loop.metrics.add("flobc_blocks_recorded_total")
            self._on_recorded(item.block.height)
            item.on_recorded()
        if outcome.behind:
            logger.warning("the store has lost blocks: recording all of them again from the log")
            self._forget()
            self.on_behind()
        elif not outcome.complete:
            self._try_again()
        elif self._waiting:
            self.go_on()

    def _write_timed(self, batch: tuple[_Waiting, ...], models: tuple[bytes, ...], recorded: int) -> Written:
        start_s = time.monotonic()
        outcome = self._write(batch, models, recorded)
        if outcome.complete:
            self._loop.metrics.observe("flobc_job_seconds", time.monotonic() - start_s, work="record")
        return outcome

    def _write(self, batch: tuple[_Waiting, ...], models: tuple[bytes, ...], recorded: int) -> Written:
        written = 0
        try:
            height = self._stores.blocks.height
            if height < recorded:
                return Written(behind=True)
            if not batch and recorded:
                return Written(complete=True)
            self._sound.intersection_update((*models, self._genesis.initial_model))
            self._put_model(self._genesis.initial_model)
            for item in batch:
                block = item.block
                if block.height > height:
                    self._stores.states.put(block.header.state, item.state)
                    if block.header.model == models[-1]:
                        self._put_model(models[-1])
                    elif block.header.model in models:
                        self._put_model_if_held(block.header.model)
                    if not self._stores.blocks.append(block) and self._stores.blocks.height < block.height:
                        return Written(written, behind=True)
                written += 1
            if batch and batch[-1].block.height >= self._stores.blocks.height:
                self._stores.models.keep_only(frozenset(models) | {self._genesis.initial_model})
                self._put_model(models[-1])  # a ledger that lagged may have forgotten it
        except FlobcError as error:
            logger.warning("not recorded yet: %s", error)
            self._loop.metrics.add("flobc_job_failures_total", work="record")
            return Written(written)
        return Written(written, complete=True)

    def _put_model(self, digest: bytes) -> None:
        if not self._put_model_if_held(digest):
            raise TransientError(f"no validator holds model {digest.hex()[:12]} now", RETRY_MS / 1000)

    def _put_model_if_held(self, digest: bytes) -> bool:
        if self._has_model(digest):
            return True
        model = self._fetch(digest)
        if model is None:
            return False
        self._stores.models.put(digest, model)
        self._sound.add(digest)
        return True

    def _has_model(self, digest: bytes) -> bool:
        """Whether the store has a model; what others put there is looked at once, for it may be damaged."""
        if digest in self._sound:
            return self._stores.models.has(digest)
        try:
            found = self._stores.models.get(digest) is not None
        except DataError as error:
            logger.warning("%s", error)
            return False
        if found:
            self._sound.add(digest)
        return found


def load_past(stores: LedgerStores, height: int) -> tuple[Block, ...]:
    """Return the newest blocks up to ``height``, as many as a ledger keeps models of. **Raises** TransientError."""
    found = (stores.blocks.get(number) for number in range(max(1, height - KEPT_MODELS + 1), height + 1))
    return tuple(block for block in found if block is not None)
