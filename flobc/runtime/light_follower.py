"""A trainer's view of the chain: headers and certificates from a ledger that it does not believe."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import replace

from flobc.errors import FlobcError, TransientError
from flobc.ports.peers import LedgerPeer
from flobc.ports.scheduler import Scheduler
from flobc.protocol.chain.block import EMPTY_BODY, Block, Header
from flobc.protocol.consensus.state import ChainState, CoreState, build_initial_state, decode_state
from flobc.protocol.messages import Record
from flobc.protocol.params import Genesis
from flobc.protocol.roles.light_client import Certificate, LightClient

RETRY_S = 1.0

logger = logging.getLogger(__name__)


class LightFollower:
    """Follows one ledger on a thread of its own; ``state`` changes on the scheduler's loop alone.

    It begins at the newest block that the ledger has, whose certificate proves it by itself: a trainer needs no older
    ones, and a start takes as long on a long chain as on a short one. Every header must be certified by a quorum of
    the genesis validators, and the core state must hash to what the header commits to. ``on_block`` is called with the
    state after each block, ``on_publish`` with what the trainer has to say: it may not write to the log, and validators
    take its request to join from the updates topic.
    """

    def __init__(self, genesis: Genesis, ledger: LedgerPeer, scheduler: Scheduler) -> None:
        self.state = build_initial_state(genesis)
        self.on_block: Callable[[ChainState], None] = lambda _: None
        self.on_publish: Callable[[bytes], None] = lambda _: None
        self._ledger = ledger
        self._scheduler = scheduler
        self._client = LightClient(genesis)
        self._begun: int | None = None
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="flobc-follower", daemon=True)

    @property
    def caught_up(self) -> bool:
        """Whether the ledger's newest block at the start was taken in; before, the head is not the chain's."""
        return self._begun is not None and self.state.height >= self._begun

    def start(self) -> None:
        """Begin to follow."""
        self._thread.start()

    def stop(self, timeout_s: float) -> None:
        """Stop following; the ledger's client must be closed too, or a stream that waits is waited for."""
        self._stopping.set()
        self._thread.join(timeout_s)

    def is_waiting(self, kind: type[Record]) -> bool:
        """Return False: a trainer writes nothing to the log."""
        del kind
        return False

    def publish(self, record: bytes) -> bool:
        """Hand a request to join to ``on_publish``; the state moves with a later block, so this returns False."""
        self.on_publish(record)
        return False

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                if self._begun is None:
                    newest = self._ledger.get_head()
                    if newest is not None:
                        self._take(newest, self._client.jump)
                    self._begun = self._client.head.height
                for block in self._ledger.follow(self._client.head.height + 1):
                    self._take(block, self._client.accept)
                    if self._stopping.is_set():
                        return
            except FlobcError as error:
                logger.warning("The ledger gave nothing to build on: %s", error)
                if not isinstance(error, TransientError):
                    self._ledger.distrust()
            self._stopping.wait(RETRY_S)

    def _take(self, block: Block, accept: Callable[[Header, Certificate], None]) -> None:
        """Check a block and hand it to the loop. **Raises** VerificationError, TransientError."""
        data = self._ledger.get_state(block.header.state)
        if data is None:
            raise TransientError(f"the state of block {block.height} is not there yet", RETRY_S)
        core = decode_state(data, block.header.state)
        accept(block.header, block.certificate)
        head = Block(block.header, block.certificate, EMPTY_BODY)
        self._scheduler.post(lambda: self._move(head, core))

    def _move(self, head: Block, core: CoreState) -> None:
        self.state = replace(self.state, head=head, core=core)
        self.on_block(self.state)
