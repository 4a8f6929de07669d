"""Does a chain go on where its parent ended? Found out from the parent's genesis, or from all that is held of it."""

from __future__ import annotations

import zipfile
from pathlib import Path

from flobc.composition.archive import open_archive
from flobc.composition.succession import load_genesis_alone
from flobc.composition.verification.models import damage_breaks
from flobc.errors import VerificationError
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import Header, compute_header_digest
from flobc.protocol.consensus.succession import validate_successor
from flobc.protocol.params import Genesis


def verify_succession(path: Path, child: Genesis) -> bool:
    """Check a successor's genesis against its parent: a genesis file, a run's or system's directory, or an export.

    Returns whether the parent's block at the start was at hand to compare; the approvals are checked in any case.

    **Raises** VerificationError when it is not the rightful successor, DataError when there is no parent to read.
    """
    if path.is_file() and not zipfile.is_zipfile(path):
        validate_successor(load_genesis_alone(path), child)
        return False
    archive = open_archive(path)
    try:
        validate_successor(archive.genesis, child)
        return child.parent is not None and _compare_start(archive, child.parent.header)
    finally:
        archive.close()


def _compare_start(archive: ChainArchive, start: Header) -> bool:
    """Check that the parent's stored blocks end at the start, or lead there (CHAIN-15)."""
    if archive.height > start.height:
        raise VerificationError(
            start.height + 1,
            "CHAIN-15",
            f"{archive.name} holds block {archive.height}, but the successor starts from block {start.height}: a third "
            "of the parent's validators or more broke their word, or that block is no certified one",
        )
    with damage_breaks(start.height, "CHAIN-8"):
        block = archive.block(start.height)
    if block is None:
        return start.height == 0
    if compute_header_digest(block.header) != compute_header_digest(start):
        raise VerificationError(
            start.height, "CHAIN-15", f"block {start.height} of {archive.name} is not the one the successor starts from"
        )
    return True
