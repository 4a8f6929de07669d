"""Writes one certified model for use elsewhere, with everything to check it against the chain by hand."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from flobc.adapters.filesystem import write_atomically
from flobc.adapters.filesystem.formats import encode_model
from flobc.composition.archive.target import require_free, writing
from flobc.composition.verification.blocks import require_body
from flobc.composition.verification.models import ModelReplay, load_model
from flobc.errors import DataError, UsageError, VerificationError
from flobc.learning.layout import list_places
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import Block, Header, compute_header_digest
from flobc.protocol.encoding import encode
from flobc.protocol.messages import Seal
from flobc.protocol.params import Genesis, get_chain_id, get_quorum
from flobc.protocol.roles.light_client import LightClient
from flobc.runtime.aggregation import UpdateEngine

Model = NDArray[np.int32]

HOW_TO_CHECK = (
    "1. The grid file is the model: int32, little-endian, all tensors that are not frozen, in order. Its RFC 6962 "
    "Merkle root (SHA-256) over pieces of 4 * chunk_size bytes is model_digest.",
    "2. header is the header's canonical encoding and holds model_digest. SHA-256 of one byte 14, the text "
    "'flobc/1/Header' and these bytes is header_digest.",
    "3. Each seal's Ed25519 signature covers one byte 12, the text 'flobc/1/Seal', and chain (32 bytes), validator "
    "(32), height (8, big-endian) and header_digest (32). quorum of the genesis validators must have sealed.",
    "4. A tensor in the safetensors file is its part of the grid times 2^-fraction_bits, clamped to lo and hi, "
    "rounded to the nearest float32, ties to even.",
)


def export_model(
    archive: ChainArchive, out: Path, height: int | None = None, force: bool = False, rebuild: bool = True
) -> dict[str, Any]:
    """Write the model of ``height`` (default: the newest) to ``out`` and return its manifest.

    ``out`` (``NAME.safetensors``) holds the float32 tensors; beside it ``NAME.grid`` holds the
    integers that the chain agreed on and ``NAME.json`` the manifest. Frozen tensors are not the
    chain's; the manifest names them. A model that is not stored is recomputed from payloads, unless
    ``rebuild`` is False.

    **Raises** UsageError when a file exists and ``force`` is not set, or for an impossible height;
    DataError when the model is not held and cannot be recomputed; VerificationError when the
    chain does not vouch for it.
    """
    if out.suffix != ".safetensors":
        raise UsageError(f"A model is written to a file that ends in .safetensors, not to {out.name}; rename it.")
    grid_file, manifest_file = out.with_suffix(".grid"), out.with_suffix(".json")
    for path in (out, grid_file, manifest_file):
        require_free(path, force)
    height = archive.height if height is None else height
    if not 0 <= height <= archive.height:
        raise UsageError(f"{archive.name} has blocks up to height {archive.height}, not {height}; choose a lower one.")
    block = _load_certified(archive, height) if height else None
    model = rebuild_model(archive, height) if rebuild else _load_held(archive, height, block)
    from safetensors.numpy import save  # noqa: PLC0415 - a ledger's image verifies chains and has it not

    tensors = save(_split_tensors(archive.genesis, model))
    manifest = _build_manifest(archive.genesis, block, model)
    manifest["files"] = {
        out.name: sha256(tensors).hexdigest(),
        grid_file.name: sha256(encode_model(model)).hexdigest(),
    }
    with writing(out):
        write_atomically(grid_file, [encode_model(model)])
        write_atomically(out, [tensors])
        write_atomically(manifest_file, [json.dumps(manifest, indent=2).encode(), b"\n"])
    return manifest


def rebuild_model(archive: ChainArchive, height: int) -> Model:
    """Return the model of a height: the stored one, or recomputed from the nearest stored one below.

    **Shapes**: (D,).
    **Raises** DataError when something for it is not held, VerificationError when a block, model or
    payload on the way does not hold.
    """
    engine = UpdateEngine(archive.genesis)
    blocks: list[Block] = []
    for start in range(height, -1, -1):
        block = _load_certified(archive, start) if start else None
        digest = archive.genesis.initial_model if block is None else block.header.model
        model = load_model(archive, engine, digest, start)
        if model is not None:
            return _replay(archive, ModelReplay(archive, height=start, digest=digest), model, blocks[::-1])
        if block is not None:
            blocks.append(block)
    raise DataError(
        f"The model of height {height} is not held in {archive.name}, nor any model before it to start from; "
        "get the initial model from another copy."
    )


def _load_held(archive: ChainArchive, height: int, block: Block | None) -> Model:
    digest = archive.genesis.initial_model if block is None else block.header.model
    model = load_model(archive, UpdateEngine(archive.genesis), digest, height)
    if model is None:
        raise DataError(f"The model of height {height} is not held in {archive.name}; choose a newer block's.")
    return model


def _replay(archive: ChainArchive, replay: ModelReplay, model: Model, blocks: list[Block]) -> Model:
    replay.model = model
    for block in blocks:
        missing = replay.advance(block)
        if missing is not None:
            raise DataError(
                f"The model of height {block.height} is not held in {archive.name} and cannot be recomputed "
                f"({missing}); choose another height or a copy with payloads."
            )
    return model if replay.model is None else replay.model


def _load_certified(archive: ChainArchive, height: int) -> Block:
    block = archive.block(height)
    if block is None:
        raise DataError(f"The block of height {height} is not held in {archive.name}; rebuild it from the log.")
    if (block.header.chain, block.height) != (get_chain_id(archive.genesis), height):
        raise VerificationError(height, "CHAIN-8", "the block in this place is another chain's or height's")
    LightClient(archive.genesis).require_certified(block.header, block.certificate)
    require_body(block)
    return block


def _split_tensors(genesis: Genesis, model: Model) -> dict[str, NDArray[np.float32]]:
    """Return the float32 view by tensor."""
    view = UpdateEngine(genesis).grid.to_float(model)
    return {tensor.name: view[start:stop].reshape(tensor.shape) for tensor, start, stop in list_places(genesis.model)}


def _build_manifest(genesis: Genesis, block: Block | None, model: Model) -> dict[str, Any]:
    return {
        "format": "flobc-model",
        "version": 1,
        "task": genesis.task,
        "chain": get_chain_id(genesis).hex(),
        "height": 0 if block is None else block.height,
        "model_digest": UpdateEngine(genesis).compute_digest(model).hex(),
        "header_digest": None if block is None else compute_header_digest(block.header).hex(),
        "header": None if block is None else encode(block.header).hex(),
        "header_fields": None if block is None else _describe_header(block.header),
        "quorum": get_quorum(len(genesis.validators)),
        "validators": [key.hex() for key in genesis.validators],
        "certificate": [] if block is None else [_describe_seal(seal) for seal in block.certificate],
        "chunk_size": genesis.model.chunk_size,
        "tensors": [
            {
                "name": tensor.name,
                "shape": list(tensor.shape),
                "dtype": tensor.dtype,
                "kind": tensor.kind,
                "coordinates": [start, stop],
                "fraction_bits": tensor.fraction_bits,
                "lo": tensor.lo,
                "hi": tensor.hi,
            }
            for tensor, start, stop in list_places(genesis.model)
        ],
        "omitted_frozen_tensors": [tensor.name for tensor in genesis.model.tensors if tensor.kind == "frozen"],
        "how_to_check": list(HOW_TO_CHECK),
    }


def _describe_header(header: Header) -> dict[str, Any]:
    return {
        "parent": header.parent.hex(),
        "closing_position": header.closing_position,
        "log_digest": header.log_digest.hex(),
        "decisions_root": header.decisions_root.hex(),
        "state": header.state.hex(),
        "model": header.model.hex(),
    }


def _describe_seal(seal: Seal) -> dict[str, str]:
    return {"validator": seal.validator.hex(), "signature": seal.signature.hex()}
