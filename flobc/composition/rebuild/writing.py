"""Writes what a source holds into a ledger's stores, block after block, and checks everything on the way.

Every step may be done twice, so after a Ctrl-C, a crash or an outage the same command goes on where it was.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

from flobc.composition.rebuild.sources import Recorded, Source
from flobc.composition.services.recording import KEPT_MODELS, LedgerStores
from flobc.composition.verification.blocks import require_body
from flobc.errors import DataError, RemoteProtocolError, UsageError, VerificationError
from flobc.learning.model_digest import compute_model_digest
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import decode_state
from flobc.protocol.params import Genesis, get_chain_id
from flobc.protocol.roles.light_client import LightClient

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class RebuildReport:
    """What stands in the store now: ``written`` blocks are new there, ``found`` ones were the same already."""

    chain: bytes
    height: int
    head: bytes
    written: int
    found: int
    models: int


def rebuild(source: Source, stores: LedgerStores, progress: Progress | None = None) -> RebuildReport:
    """Write a source's chain into stores that are empty or hold the beginning of the same chain.

    ``progress`` is told how much of the source was read, and how much there is.

    **Raises** UsageError when the store holds another chain or block, VerificationError when the source does not
    hold, DataError when something in it is missing, TransientError when one of both is away.
    """
    return _Rebuild(source, stores, progress).run()


class _Rebuild:
    """One pass over a source.

    Only the newest models are written. Which those are is known at the end, so that many blocks are held back:
    no block that needs its model ever stands before it.
    """

    def __init__(self, source: Source, stores: LedgerStores, progress: Progress | None) -> None:
        self._source = source
        self._stores = stores
        self._progress = progress
        self._genesis: Genesis = source.genesis
        self._light = LightClient(source.genesis)
        self._held = stores.blocks.height
        self._waiting: deque[Recorded] = deque()
        self._written = 0
        self._models: set[bytes] = set()

    def run(self) -> RebuildReport:
        """Read and write everything."""
        self._require_same_chain()
        self._put_model(self._genesis.initial_model)
        for recorded in self._source.read():
            self._check(recorded)
            self._waiting.append(recorded)
            if len(self._waiting) > KEPT_MODELS:
                self._write(self._waiting.popleft())
            if self._progress is not None:
                self._progress(*self._source.progress)
        while self._waiting:
            recorded = self._waiting.popleft()
            if not self._put_model(recorded.block.header.model) and not self._waiting:
                raise DataError(
                    f"The model {recorded.block.header.model.hex()[:12]} of the newest block "
                    f"{recorded.block.height} is nowhere in the source; all below it is written, so have a validator "
                    "or ledger that holds it and give the same command again."
                )
            self._write(recorded)
        head = self._light.head
        return RebuildReport(
            get_chain_id(self._genesis),
            head.height,
            self._light.head_digest,
            self._written,
            head.height - self._written,
            len(self._models),
        )

    def _check(self, recorded: Recorded) -> None:
        """Check certificate, body and state against what the genesis keys signed (CHAIN-6..CHAIN-8, CHAIN-10)."""
        block = recorded.block
        self._light.accept(block.header, block.certificate)
        require_body(block)
        try:
            decode_state(recorded.state, block.header.state)
        except RemoteProtocolError as error:
            raise VerificationError(block.height, error.rule, "the state in the source is not the block's") from error

    def _write(self, recorded: Recorded) -> None:
        block = recorded.block
        if block.height <= self._held:
            self._require_equal(block)
            if not _is_held(lambda: self._stores.states.get(block.header.state)):
                self._stores.states.put(block.header.state, recorded.state)
            return
        self._stores.states.put(block.header.state, recorded.state)
        if not self._stores.blocks.append(block):
            self._held = self._stores.blocks.height  # a ledger may write at the same time
            self._require_equal(block)
            return
        self._held = block.height
        self._written += 1

    def _require_equal(self, block: Block) -> None:
        try:
            found = self._stores.blocks.get(block.height)
        except DataError as error:
            raise UsageError(
                f"The store is damaged ({error}) Wipe it and write it anew: the same with --wipe."
            ) from error
        if found != block:
            raise UsageError(
                f"The store has another block {block.height} than the source, so one of both is wrong; verify "
                "both (flobc verify), and if the store is wrong write it anew: the same with --wipe."
            )

    def _require_same_chain(self) -> None:
        first = self._stores.blocks.get(1) if self._held else None
        chain = get_chain_id(self._genesis)
        if first is not None and first.header.chain != chain:
            raise UsageError(
                f"The store holds chain {first.header.chain.hex()[:12]}, not {chain.hex()[:12]}; choose another store."
            )

    def _put_model(self, digest: bytes) -> bool:
        """Write a model if it is not there; return whether it is there now."""
        if digest in self._models:
            return True
        if not _is_held(lambda: self._stores.models.get(digest)):
            model = self._source.get_model(digest)
            if model is None:
                return False
            if compute_model_digest(model, self._genesis.model.chunk_size) != digest:
                raise DataError(
                    f"What the source has as model {digest.hex()[:12]} has another digest; use another source."
                )
            self._stores.models.put(digest, model)
        self._models.add(digest)
        return True


def _is_held(get: Callable[[], object]) -> bool:
    """Return whether a sound value is held; a damaged one is mended by writing it again."""
    try:
        return get() is not None
    except DataError:
        return False
