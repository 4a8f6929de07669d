"""Where an explorer takes a chain from: ledgers, or a run's directory or export on this machine."""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from flobc.adapters.grpc import LedgerClient, Patience, TlsSettings
from flobc.composition.archive import open_archive
from flobc.composition.archive.genesis import require_usable
from flobc.composition.archive.ledger import LedgerArchive
from flobc.errors import DataError, RemoteProtocolError
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import EMPTY_BODY, Block
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import CoreState, build_initial_state, decode_state
from flobc.protocol.params import Genesis, get_chain_id

POLL_S = 0.5
"""How often a directory is looked at for new blocks."""
REST, MAX_REST_S = 4, 5.0
"""How many times as long as a look took the next one waits: a long log, read again, must not fill a processor."""
FETCHERS, AHEAD = 4, 64
"""How many blocks are asked for at once while there are many, and how many ahead of the one that is looked at."""
FOLLOWING = Patience(retry_s=2.0)
"""The follower tries again by itself; meanwhile viewers shall hear that nothing comes."""
ASKING = Patience(call_s=5.0, stream_s=60.0, retry_s=0.5)
"""Somebody waits for the page."""


@dataclass(frozen=True)
class SeenBlock:
    """A block with its body as the source tells it, not yet believed.

    ``core`` is the core state that its header commits to, None where the source has not got it; ``missing`` says why
    the body is not there.
    """

    block: Block
    core: CoreState | None
    missing: str | None = None


class ChainSource(Protocol):
    """Everything that an explorer asks for."""

    @property
    def name(self) -> str:
        """What people call it: addresses or a path."""
        ...

    @property
    def genesis(self) -> Genesis:
        """Block 0."""
        ...

    def read_height(self) -> int:
        """Return the height that the source says it has. **Raises** TransientError, DataError."""
        ...

    def follow(self, height: int) -> Iterator[SeenBlock]:
        """Yield each block from ``height`` on and wait for the next. **Raises** TransientError, DataError."""
        ...

    def get_block(self, height: int) -> Block | None:
        """Return a block with its body, or None. **Raises** TransientError, DataError."""
        ...

    def list_certified(self, height: int, limit: int) -> list[Block]:
        """Return consecutive blocks from ``height`` on, bodies empty, at most ``limit``; none behind the head."""
        ...

    def open_archive(self) -> ChainArchive:
        """Return the chain at rest, as it is now; the caller closes it. **Raises** TransientError, DataError."""
        ...

    def close(self) -> None:
        """Let go of everything; ``follow`` ends soon."""
        ...


class LedgerSource:
    """A chain as its ledgers serve it. Without a ``genesis`` theirs is taken, and its id is for people to compare.

    **Raises** TransientError when the genesis is asked for and no ledger answers, DataError when they have none.
    """

    def __init__(
        self,
        addresses: Sequence[str],
        tls: TlsSettings | None = None,
        genesis: Genesis | None = None,
        following: Patience = FOLLOWING,
    ) -> None:
        self.name = ",".join(addresses)
        self._addresses, self._tls = tuple(addresses), tls
        self._ledger = LedgerClient(addresses, tls, following)
        self._pages = LedgerClient(addresses, tls, ASKING)
        try:
            self.genesis = genesis if genesis is not None else self._ask_for_genesis()
        except BaseException:
            self.close()
            raise

    def read_height(self) -> int:
        """Return the ledgers' height. **Raises** TransientError, DataError."""
        head = self._ledger.get_head()
        return 0 if head is None else head.height

    def follow(self, height: int) -> Iterator[SeenBlock]:
        """Yield each block from ``height`` on, and wait for the next. **Raises** TransientError, DataError.

        What is there already is asked for several at a time: most of the time goes into waiting for answers.
        """
        top = self.read_height()
        with ThreadPoolExecutor(FETCHERS, "flobc-explorer-fetch") as executor:
            for start in range(height, top + 1, AHEAD):
                yield from executor.map(self._fetch, range(start, min(start + AHEAD, top + 1)))
        for head in self._ledger.follow(max(height, top + 1)):
            yield self._fetch(head.height)

    def get_block(self, height: int) -> Block | None:
        """Return a block with its body, or None. **Raises** TransientError, DataError."""
        return self._pages.get_block(height)

    def list_certified(self, height: int, limit: int) -> list[Block]:
        """Return consecutive blocks from ``height`` on, bodies empty. **Raises** TransientError, DataError."""
        return self._ledger.list_blocks(height, limit)

    def open_archive(self) -> ChainArchive:
        """Return what the ledgers hold now. **Raises** TransientError, DataError."""
        archive = LedgerArchive(self._addresses, self._tls)
        if get_chain_id(archive.genesis) != get_chain_id(self.genesis):
            archive.close()
            raise DataError(f"The ledgers at {self.name} serve another chain; look at the explorer's FLOBC_LEDGERS.")
        return archive

    def close(self) -> None:
        """Let go of connections."""
        self._ledger.close()
        self._pages.close()

    def _ask_for_genesis(self) -> Genesis:
        genesis = self._ledger.get_genesis()
        if genesis is None:
            raise DataError(f"The ledger at {self.name} knows no genesis; ask another one.")
        return require_usable(genesis, self.name)

    def _fetch(self, height: int) -> SeenBlock:
        """Return a block, without its body where that cannot be had. **Raises** TransientError, DataError."""
        missing = "the ledger has lost it"
        try:
            block = self._ledger.get_block(height)
        except DataError as error:
            block, missing = None, str(error)
        if block is not None:
            return SeenBlock(block, self._read_core(block))
        heads = self._ledger.list_blocks(height, 1)
        if not heads:
            raise DataError(f"The ledger at {self.name} has lost block {height}; ask another one.")
        return SeenBlock(heads[0], None, missing)

    def _read_core(self, block: Block) -> CoreState | None:
        """Return a block's core state; None when the ledgers have none that is good, for pages go without."""
        try:
            data = self._ledger.get_state(block.header.state)
            return None if data is None else decode_state(data, block.header.state)
        except (DataError, RemoteProtocolError):
            return None


class DirectorySource:
    """A run's directory, which may still grow, or an export. **Raises** DataError when there is neither."""

    def __init__(self, path: Path) -> None:
        self.name = str(path)
        self._path = path
        self._closed = threading.Event()
        archive = open_archive(path)
        self.genesis = archive.genesis
        archive.close()

    def read_height(self) -> int:
        """Return the newest stored block's height. **Raises** DataError."""
        archive = self.open_archive()
        try:
            return archive.height
        finally:
            archive.close()

    def follow(self, height: int) -> Iterator[SeenBlock]:
        """Yield each block from ``height`` on, and wait for the next. **Raises** DataError.

        A run's directory keeps no states: they are folded from its log, from the beginning.
        """
        fold = _Fold(self.genesis)
        while not self._closed.is_set():
            start_s = time.thread_time()
            archive = self.open_archive()
            try:
                if archive.height >= height:
                    fold.take(archive)
                for number in range(height, archive.height + 1):
                    block = archive.block(number)
                    if block is None:
                        raise DataError(f"Block {number} is missing in {self.name}; run flobc verify.")
                    yield SeenBlock(block, fold.cores.pop(number, None))
                height = max(height, archive.height + 1)
                fold.cores.clear()
            finally:
                archive.close()
            self._closed.wait(max(POLL_S, min(REST * (time.thread_time() - start_s), MAX_REST_S)))

    def get_block(self, height: int) -> Block | None:
        """Return a block with its body, or None. **Raises** DataError."""
        archive = self.open_archive()
        try:
            return archive.block(height)
        finally:
            archive.close()

    def list_certified(self, height: int, limit: int) -> list[Block]:
        """Return consecutive blocks from ``height`` on, bodies empty. **Raises** DataError."""
        archive = self.open_archive()
        try:
            found = (archive.block(number) for number in range(height, min(height + limit, archive.height + 1)))
            whole = itertools.takewhile(lambda block: block is not None, found)
            return [Block(block.header, block.certificate, EMPTY_BODY) for block in whole if block is not None]
        finally:
            archive.close()

    def open_archive(self) -> ChainArchive:
        """Return the chain as it lies there now. **Raises** DataError."""
        return open_archive(self._path)

    def close(self) -> None:
        """End ``follow``."""
        self._closed.set()


class _Fold:
    """The core states to which a log's closed rounds lead, by height; goes on where it stood."""

    def __init__(self, genesis: Genesis) -> None:
        self._state = build_initial_state(genesis)
        self._taken = 0
        self.cores: dict[int, CoreState] = {}

    def take(self, archive: ChainArchive) -> None:
        """Apply the records that came since. **Raises** DataError when the log is damaged."""
        for record in itertools.islice(archive.records(), self._taken, None):
            self._taken += 1
            before = self._state
            try:
                self._state = apply_record(before, record)
            except RemoteProtocolError:
                continue  # what changed nothing is in the log too
            closed = self._state.closed
            if closed is not None and (before.closed is None or before.closed.height != closed.height):
                self.cores[closed.height] = self._state.core
