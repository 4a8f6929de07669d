"""Blocks as they come, of a run's directory, a system or ledgers."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flobc.composition.archive.directory import DirectoryArchive
from flobc.composition.local.plan import is_system_directory, load_plan
from flobc.composition.run_directory import load_height
from flobc.errors import DataError
from flobc.protocol.chain.block import Block

if TYPE_CHECKING:
    from flobc.adapters.grpc import TlsSettings

POLL_S = 0.5


def follow_blocks(root: Path, height: int) -> Iterator[Block]:
    """Yield each block from ``height`` on, body included, and wait for the next one; never ends by itself.

    **Raises** DataError when neither a run nor a system is there, or a block is missing; TransientError when no
    ledger answers.
    """
    return _follow_system(root, height) if is_system_directory(root) else _follow_run(root, height)


def _follow_system(root: Path, height: int) -> Iterator[Block]:
    return follow_ledgers(load_plan(root).ledgers, None, height)


def follow_ledgers(addresses: Sequence[str], tls: TlsSettings | None, height: int) -> Iterator[Block]:
    """Yield each block from ``height`` on, body included, as ``follow_blocks`` does, from ledgers."""
    from flobc.adapters.grpc import LedgerClient  # noqa: PLC0415 - a run in one process needs no clients

    ledger = LedgerClient(addresses, tls)
    try:
        for header in ledger.follow(height):
            yield _require_block(ledger.get_block(header.height), header.height, ",".join(addresses))
    finally:
        ledger.close()


def _follow_run(root: Path, height: int) -> Iterator[Block]:
    archive = DirectoryArchive(root)
    while True:
        while height <= load_height(root):
            yield _require_block(archive.block(height), height, str(root))
            height += 1
        time.sleep(POLL_S)


def _require_block(block: Block | None, height: int, place: str) -> Block:
    if block is None:
        raise DataError(f"Block {height} is missing at {place}, which has later ones; run flobc verify {place}.")
    return block
