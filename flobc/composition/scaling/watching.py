"""Notes when each block of a running chain is heard of."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from flobc.errors import FlobcError, TransientError, VerificationError
from flobc.ports.peers import LedgerPeer
from flobc.protocol.chain.block import Block, compute_header_digest

RETRY_S = 1.0
STOP_S = 5.0


@dataclass(frozen=True)
class SeenBlock:
    """A block's header as a ledger told it, and when. ``at_s`` is on the clock that the watch was given."""

    height: int
    at_s: float
    decided: int
    digest: bytes


class BlockWatch:
    """Follows a chain in a thread of its own; use it as a context manager.

    A ledger that is away is asked again; one that tells a height twice, leaves one out, or whose block does not
    follow the one before ends the watch with a VerificationError for whoever waits.
    """

    def __init__(self, ledger: LedgerPeer, now: Callable[[], float] = time.monotonic) -> None:
        self._ledger = ledger
        self._now = now
        self._condition = threading.Condition()
        self._blocks: list[SeenBlock] = []
        self._failure: FlobcError | None = None
        self._stopped = False
        head = ledger.get_head()
        self._first = 1 if head is None else head.height + 1
        self._thread = threading.Thread(target=self._follow, name="flobc-watch", daemon=True)

    def __enter__(self) -> BlockWatch:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stopped = True
        self._ledger.close()  # or the thread would wait for the next block
        self._thread.join(STOP_S)

    @property
    def height(self) -> int:
        """The newest height that was heard of."""
        with self._condition:
            return self._first - 1 + len(self._blocks)

    def list_blocks(self, height: int) -> tuple[SeenBlock, ...]:
        """Return what was heard of from a height on."""
        with self._condition:
            return tuple(self._blocks[max(0, height - self._first) :])

    def wait(
        self,
        is_so: Callable[[Sequence[SeenBlock]], bool],
        what: str,
        silence_s: float,
        timeout_s: float = math.inf,
    ) -> None:
        """Wait until it is so of the blocks heard of since now on; asked at each block.

        **Raises** TransientError after ``silence_s`` without a block or ``timeout_s`` with blocks of which it is not
        so, VerificationError when the chain breaks.
        """
        first = self.height + 1
        heard_s = began_s = self._now()
        while not is_so(blocks := self.list_blocks(first)):
            if self._now() > began_s + timeout_s:
                raise TransientError(
                    f"Blocks came for {timeout_s:.0f} s, but not {what}; look at the services' logs.", RETRY_S
                )
            heard_s = blocks[-1].at_s if blocks else heard_s
            with self._condition:
                if self._failure is not None:
                    raise self._failure
                if first - self._first + len(blocks) == len(self._blocks):
                    self._condition.wait(max(0.0, heard_s + silence_s - self._now()))
            if self._now() > heard_s + silence_s and len(self.list_blocks(first)) == len(blocks):
                raise TransientError(
                    f"No block came for {silence_s:.0f} s after block {self.height} while waiting for {what}; look at "
                    "the services' logs.",
                    RETRY_S,
                )

    def wait_for_silence(self, quiet_s: float, timeout_s: float) -> None:
        """Return when no block has come for ``quiet_s``. **Raises** TransientError after ``timeout_s``."""
        until_s = self._now() + timeout_s
        with self._condition:
            heard_s = self._now()
            while self._now() < heard_s + quiet_s:
                count = len(self._blocks)
                self._condition.wait(heard_s + quiet_s - self._now())
                if self._failure is not None:
                    raise self._failure
                heard_s = self._now() if len(self._blocks) > count else heard_s
                if self._now() > until_s:
                    raise TransientError(
                        f"Blocks still came {timeout_s:.0f} s after all trainers were stopped; raise drain.timeout_s.",
                        RETRY_S,
                    )

    def _follow(self) -> None:
        while not self._stopped and self._failure is None:
            try:
                for block in self._ledger.follow(self.height + 1):
                    self._note(block)
            except TransientError:
                time.sleep(RETRY_S)
            except FlobcError as error:
                self._fail(error)

    def _note(self, block: Block) -> None:
        seen = SeenBlock(block.height, self._now(), block.header.num_decisions, compute_header_digest(block.header))
        with self._condition:
            expected = self._first + len(self._blocks)
            parent = self._blocks[-1].digest if self._blocks else block.header.parent
            if block.height != expected or block.header.parent != parent:
                raise VerificationError(
                    block.height,
                    "CHAIN-8",
                    f"the ledger told it after block {expected - 1}, but it does not follow that block",
                )
            self._blocks.append(seen)
            self._condition.notify_all()

    def _fail(self, error: FlobcError) -> None:
        with self._condition:
            self._failure = error
            self._condition.notify_all()
