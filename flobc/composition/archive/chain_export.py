"""Writes a whole chain into one file that anybody can verify."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from flobc.adapters.filesystem import frame_record, replace_atomically
from flobc.adapters.filesystem.formats import encode_model, encode_payload
from flobc.composition.archive.export_file import (
    FORMAT,
    GENESIS,
    LOG,
    MANIFEST,
    TESTS,
    VERSION,
    get_block_entry,
    get_model_entry,
    get_payload_entry,
)
from flobc.composition.archive.target import require_free, writing
from flobc.errors import DataError
from flobc.learning.model_digest import compute_model_digest
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import Block, compute_header_digest
from flobc.protocol.encoding import encode
from flobc.protocol.params import get_chain_id

_EPOCH = (1980, 1, 1, 0, 0, 0)
"""The earliest time a zip file can name: the same chain makes the same bytes at any time."""

Progress = Callable[[int, int], None]


def export_chain(
    archive: ChainArchive,
    out: Path,
    *,
    payloads: bool = True,
    force: bool = False,
    progress: Progress | None = None,
) -> None:
    """Write genesis, log, blocks, payloads and the first and last model to ``out``; the same chain, the same bytes.

    Without ``payloads`` the file is small and its models can be checked by certificate only.
    ``progress`` is told (entries written, entries in all).

    **Raises** UsageError when ``out`` exists and ``force`` is not set, or cannot be written; DataError
    when the archive is damaged. Then ``out`` is what it was.
    """
    require_free(out, force)
    updates: set[bytes] = set()
    models = {archive.genesis.initial_model}
    head = None
    for block in read_blocks(archive):
        updates.update(decision.update for decision in block.body.decisions)
        head = block
    if head is not None:
        models.add(head.header.model)
    entries = _list_entries(archive, sorted(updates) if payloads else [], sorted(models), head)
    with writing(out), replace_atomically(out) as file, zipfile.ZipFile(file, "w") as target:
        for done, (name, pieces) in enumerate(entries, 1):
            _write_entry(target, name, pieces())
            if progress is not None:
                progress(done, len(entries))


def read_blocks(archive: ChainArchive) -> Iterator[Block]:
    """Yield the stored blocks. **Raises** DataError when one is damaged or missing."""
    for height in range(1, archive.height + 1):
        block = archive.block(height)
        if block is None:
            raise DataError(f"{archive.name} lacks the block of height {height}; rebuild it from the log.")
        yield block


Pieces = Callable[[], Iterator[bytes | memoryview] | None]


def _list_entries(
    archive: ChainArchive, updates: list[bytes], models: list[bytes], head: Block | None
) -> list[tuple[str, Pieces]]:
    """Return name and content of every entry, ascending by name; a content of None is not held."""
    manifest = {
        "format": FORMAT,
        "version": VERSION,
        "chain": get_chain_id(archive.genesis).hex(),
        "height": archive.height,
        "head": None if head is None else compute_header_digest(head.header).hex(),
    }
    tests = {str(height): accuracy for height, accuracy in sorted(archive.tests().items())}
    entries: list[tuple[str, Pieces]] = [
        (GENESIS, lambda: iter([encode(archive.genesis)])),
        (LOG, lambda: map(frame_record, archive.records())),
        (MANIFEST, lambda: iter([_encode_json(manifest)])),
        (TESTS, lambda: iter([_encode_json(tests)])),
    ]
    heights = range(1, archive.height + 1)
    entries += [(get_block_entry(height), partial(_block_pieces, archive, height)) for height in heights]
    entries += [(get_payload_entry(update), partial(_payload_pieces, archive, update)) for update in updates]
    entries += [(get_model_entry(digest), partial(_model_pieces, archive, digest)) for digest in models]
    return sorted(entries, key=lambda entry: entry[0])


def _block_pieces(archive: ChainArchive, height: int) -> Iterator[bytes | memoryview] | None:
    block = archive.block(height)
    return None if block is None else iter([encode(block)])


def _payload_pieces(archive: ChainArchive, update: bytes) -> Iterator[bytes | memoryview] | None:
    payload = archive.payload(update)
    return None if payload is None else iter(encode_payload(payload))


def _model_pieces(archive: ChainArchive, digest: bytes) -> Iterator[bytes | memoryview] | None:
    model = archive.model(digest)
    if model is None:
        return None
    if compute_model_digest(model, archive.genesis.model.chunk_size) != digest:
        raise DataError(f"The model {digest.hex()[:12]} in {archive.name} is damaged; remove it, and try again.")
    return iter([encode_model(model)])


def _encode_json(data: object) -> bytes:
    return json.dumps(data, indent=2, sort_keys=True).encode() + b"\n"


def _write_entry(target: zipfile.ZipFile, name: str, pieces: Iterator[bytes | memoryview] | None) -> None:
    if pieces is None:
        return
    info = zipfile.ZipInfo(name, _EPOCH)
    info.create_system = 3
    info.external_attr = 0o644 << 16
    with target.open(info, "w", force_zip64=True) as entry:
        for piece in pieces:
            entry.write(piece)
