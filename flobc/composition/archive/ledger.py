"""What ledgers hold of a chain, over gRPC: its genesis, blocks and models, without log and payloads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.grpc import LedgerClient, TlsSettings
from flobc.composition.archive.genesis import require_usable
from flobc.errors import DataError
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block
from flobc.protocol.params import Genesis

BLOCKS_AHEAD = 8
"""So many blocks are asked for at once by whoever reads them in order: one at a time, each would cost the way there."""


class LedgerArchive:
    """A chain as its ledgers tell it, up to the height that it had when this was opened.

    ``genesis``, where it is given, is believed instead of asking for one.

    **Raises** TransientError when no ledger answers, DataError when what they call its genesis is none, UsageError
    when a TLS file cannot be read.
    """

    torn_bytes = 0

    def __init__(
        self, addresses: Sequence[str], tls: TlsSettings | None = None, genesis: Genesis | None = None
    ) -> None:
        self.name = ",".join(addresses)
        self._ledger = LedgerClient(addresses, tls)
        self._threads = ThreadPoolExecutor(BLOCKS_AHEAD, "flobc-blocks")
        self._ahead: dict[int, Future[Block | None]] = {}
        self._last = 0
        try:
            genesis = genesis or self._ledger.get_genesis()
            if genesis is None:
                raise DataError(f"The ledger at {self.name} knows no genesis; ask another one.")
            self.genesis: Genesis = require_usable(genesis, self.name)
            head = self._ledger.get_head()
        except BaseException:
            self.close()
            raise
        self.height = 0 if head is None else head.height

    def records(self) -> Iterator[bytes]:
        """Yield nothing: ledgers do not serve the log."""
        return iter(())

    def block(self, height: int) -> Block | None:
        """Return the block recorded for a height, or None. **Raises** TransientError, DataError."""
        is_next, self._last = height == self._last + 1, height
        if not is_next:
            return self._ledger.get_block(height)
        for ahead in range(height, min(height + BLOCKS_AHEAD, self.height + 1)):
            if ahead not in self._ahead:
                self._ahead[ahead] = self._threads.submit(self._ledger.get_block, ahead)
        asked = self._ahead.pop(height, None)
        return self._ledger.get_block(height) if asked is None else asked.result()

    def payload(self, update: bytes) -> Payload | None:
        """Return None: ledgers hold no payloads."""
        del update
        return None

    def model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return a model that the ledgers hold, or None. **Shapes**: (D,)."""
        return self._ledger.get_model(digest)

    def state(self, digest: bytes) -> bytes | None:
        """Return a core state that the ledger holds, or None."""
        return self._ledger.get_state(digest)

    def tests(self) -> dict[int, float]:
        """Return nothing: no ledger holds the test set."""
        return {}

    def close(self) -> None:
        """Let go of connections."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._ledger.close()
