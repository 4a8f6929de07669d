"""Verifies a whole chain: the log is folded anew and every stored block must be what it leads to."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from flobc.composition.verification.blocks import require_body, require_same, require_template
from flobc.composition.verification.models import ModelReplay, damage_breaks, load_model
from flobc.errors import DataError, RemoteProtocolError, VerificationError
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.consensus.machine import apply_record
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.messages import Ready, Seal, Signed, decode_record
from flobc.protocol.roles.light_client import LightClient
from flobc.runtime.aggregation import UpdateEngine

Progress = Callable[[int, int], None]


@dataclass(frozen=True)
class VerifyReport:
    """What was checked of the chain with this id, which holds, up to ``height`` with header digest ``head``.

    ``recomputed`` are the heights whose model followed anew from the payloads, ``certificate_only``
    those where that was asked for and something was missing, ``unlogged`` those of stored blocks that
    the log does not reach. ``rejected_records`` counts records that broke a rule and changed nothing.
    """

    chain: bytes
    height: int
    head: bytes
    blocks_checked: int
    recomputed: tuple[int, ...]
    certificate_only: tuple[int, ...]
    unlogged: tuple[int, ...]
    rejected_records: int
    warnings: tuple[str, ...]

    @property
    def complete(self) -> bool:
        """Whether nothing that was asked for was skipped."""
        return not self.certificate_only and not self.unlogged


def verify_chain(archive: ChainArchive, *, full: bool, progress: Progress | None = None) -> VerifyReport:
    """Check everything that the archive holds, believing only its genesis.

    Every stored block: parent, height, a quorum's certificate, body and signatures; the log, folded
    from genesis, must lead to the very same blocks; stored models must hash to the digests in the
    headers. ``full`` also recomputes every model whose payloads are held. ``progress`` is told
    (heights done, heights in all).

    **Raises** VerificationError for the first height that breaks a rule, DataError when the
    archive cannot be read at all.
    """
    return _Verification(archive, full, progress).run()


class _Verification:
    """One pass over an archive, height by height."""

    def __init__(self, archive: ChainArchive, full: bool, progress: Progress | None) -> None:
        self._archive = archive
        self._progress = progress
        self._state = build_initial_state(archive.genesis)
        self._light = LightClient(archive.genesis)
        self._engine = UpdateEngine(archive.genesis)
        self._replay = ModelReplay(archive) if full else None
        self._last_model = b""
        self._stored: Block | None = None
        self._ahead: set[tuple[int, bytes]] = set()
        self._rejected = 0
        self._recomputed: list[int] = []
        self._certificate_only: list[int] = []
        self._unlogged: list[int] = []
        self._unstored: list[int] = []
        self._missing = ""

    def run(self) -> VerifyReport:
        self._require_chain_id()
        self._check_stored_model(0, self._archive.genesis.initial_model)
        self._fold_log()
        head = self._state.head.header
        if self._state.height < self._archive.height:
            self._check_unlogged()
            head = self._light.head
        return VerifyReport(
            chain=self._state.chain,
            height=head.height,
            head=compute_header_digest(head),
            blocks_checked=self._light.head.height,
            recomputed=tuple(self._recomputed),
            certificate_only=tuple(self._certificate_only),
            unlogged=tuple(self._unlogged),
            rejected_records=self._rejected,
            warnings=tuple(self._build_warnings()),
        )

    def _require_chain_id(self) -> None:
        """A changed genesis is another chain: then neither block 1 nor the log names its digest (CHAIN-1)."""
        chain, named = self._state.chain, []
        try:
            first = self._archive.block(1)
            named += [] if first is None else [first.header.chain]
            named += [] if (logged := self._find_logged_chain()) is None else [logged]
        except DataError:
            return  # found again, with its height, when its turn comes
        if named and chain not in named:
            raise VerificationError(
                0, "CHAIN-1", f"the genesis is that of chain {chain.hex()[:12]}, the rest is of {named[0].hex()[:12]}"
            )

    def _find_logged_chain(self) -> bytes | None:
        for data in self._archive.records():
            record = _decode(data)
            if isinstance(record, Signed):
                chain: bytes = record.chain  # type: ignore[attr-defined]
                return chain
        return None

    def _fold_log(self) -> None:
        records = self._archive.records()
        while True:
            with damage_breaks(self._state.height + 1, "CHAIN-11"):
                data = next(records, None)
            if data is None:
                return
            self._apply(data)

    def _apply(self, data: bytes) -> None:
        before = self._state
        try:
            self._state = apply_record(before, data)
        except RemoteProtocolError:
            self._rejected += 1
            self._note_ahead(data)
            return
        if self._state.height > before.height:
            self._check_committed(self._state.head)
        closed = self._state.closed
        if closed is not None and (before.closed is None or before.closed.height != closed.height):
            stored = self._read_stored(closed.height)
            if stored is not None:
                require_template(closed.template, stored.header)

    def _note_ahead(self, data: bytes) -> None:
        """Remember a rejected ready or seal of a header that cannot be known yet at this place in the log.

        A header's digest covers the log up to its round's closing record, so if that header turns
        out to be a certified block's, records before it were changed, added or taken away.
        """
        waiting = self._state.height + (0 if self._state.closed is None else 1)
        record = _decode(data)
        if isinstance(record, Ready | Seal) and record.height > waiting:
            self._ahead.add((record.height, record.header))

    def _read_stored(self, height: int) -> Block | None:
        """Return the stored block after all checks that need no log; None beyond the newest one."""
        if height > self._archive.height:
            return None
        if self._stored is not None and self._stored.height == height:
            return self._stored
        with damage_breaks(height, "CHAIN-8"):
            block = self._archive.block(height)
        if block is None:
            raise VerificationError(height, "CHAIN-8", "the block is missing while later ones are stored")
        self._light.accept(block.header, block.certificate)
        require_body(block)
        self._stored = block
        return block

    def _check_committed(self, block: Block) -> None:
        """Check one height that the log commits."""
        stored = self._read_stored(block.height)
        if stored is None:
            self._unstored.append(block.height)
        else:
            require_same(block, stored)
        self._ahead.clear()
        self._check_model(block)

    def _check_unlogged(self) -> None:
        """Check the stored blocks that the log does not reach, as far as their certificates carry."""
        first = self._state.height + 1
        for height in range(first, self._archive.height + 1):
            block = self._read_stored(height)
            if block is None:
                continue
            if (height, compute_header_digest(block.header)) in self._ahead:
                raise VerificationError(
                    first,
                    "CHAIN-10",
                    f"the log holds validators' records about block {height} but does not lead to block {first}: "
                    "a record before them was changed, added or taken away",
                )
            self._unlogged.append(height)
            self._check_model(block)

    def _check_model(self, block: Block) -> None:
        if self._replay is not None:
            missing = self._replay.advance(block)
            if missing is None:
                self._recomputed.append(block.height)
            else:
                self._certificate_only.append(block.height)
                self._missing = self._missing or missing
        self._check_stored_model(block.height, block.header.model)
        if self._progress is not None:
            self._progress(block.height, max(block.height, self._archive.height))

    def _check_stored_model(self, height: int, digest: bytes) -> None:
        if digest != self._last_model:
            load_model(self._archive, self._engine, digest, height)
            self._last_model = digest

    def _build_warnings(self) -> list[str]:
        warnings = []
        if self._unlogged:
            warnings.append(
                f"The log ends before {_span(self._unlogged)}, checked by certificate only; restore the whole log "
                "to check what led there."
            )
        if self._unstored:
            warnings.append(
                f"The log leads to {_span(self._unstored)}, not stored, as after a crash; go on with the run to store."
            )
        if self._archive.torn_bytes:
            warnings.append(
                f"The last {self._archive.torn_bytes} bytes of the log make no whole record, as after a crash or "
                "while a run goes on; they were left out."
            )
        if self._certificate_only:
            of = len(self._certificate_only) + len(self._recomputed)
            warnings.append(
                f"Checked by certificate only: {len(self._certificate_only)} of {of} models, the "
                f"first at height {self._certificate_only[0]} because {self._missing}; verify where the payloads are."
            )
        return warnings


def _decode(data: bytes) -> object:
    try:
        return decode_record(data)
    except RemoteProtocolError:
        return None


def _span(heights: list[int]) -> str:
    return f"block {heights[0]}" if len(heights) == 1 else f"blocks {heights[0]} to {heights[-1]}"
