"""Models, recomputed one height after the other from the payloads that are held (AGG)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
from numpy.typing import NDArray

from flobc.errors import DataError, ProtocolError, VerificationError
from flobc.ports.archive import ChainArchive
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block
from flobc.protocol.messages import UpdateHeader, compute_update_id, verify_header
from flobc.runtime.aggregation import UpdateEngine, get_used
from flobc.runtime.assembly import is_complete

Model = NDArray[np.int32]


@contextmanager
def damage_breaks(height: int, rule: str) -> Iterator[None]:
    """Let damaged data count as a broken rule of ``height``. **Raises** VerificationError."""
    try:
        yield
    except DataError as error:
        raise VerificationError(height, rule, str(error)) from error


def load_model(archive: ChainArchive, engine: UpdateEngine, digest: bytes, height: int) -> Model | None:
    """Return the stored model that height's header names, or None when it is not held.

    **Shapes**: (D,).
    **Raises** VerificationError when what is stored is not that model.
    """
    with damage_breaks(height, "AGG"):
        model = archive.model(digest)
    if model is None:
        return None
    if len(model) != engine.grid.size or engine.compute_digest(model) != digest:
        raise VerificationError(height, "AGG", f"the model stored as {digest.hex()[:12]} does not hash to that digest")
    return model


class ModelReplay:
    """Goes from block to block with the one model that the next is made from: memory for a model and a round's updates.

    Blocks must be certified and their bodies checked before they come here.
    """

    def __init__(self, archive: ChainArchive, *, height: int = 0, digest: bytes | None = None) -> None:
        self._archive = archive
        self._engine = UpdateEngine(archive.genesis)
        self._digest = digest or archive.genesis.initial_model
        self._height = height
        self.model: Model | None = None

    def advance(self, block: Block) -> str | None:
        """Recompute the model of the next block; return None, or what is missing for it.

        **Raises** VerificationError when payloads are not what trainers signed, or lead to another model.
        """
        missing = self._recompute(block)
        if missing is not None:
            self.model = None
        self._height, self._digest = block.height, block.header.model
        return missing

    def _recompute(self, block: Block) -> str | None:
        used = get_used(block.body)
        if not used:
            self._require_result(block, self._digest)
            return None
        if self.model is None:
            self.model = load_model(self._archive, self._engine, self._digest, self._height)
        if self.model is None:
            return f"the model of height {self._height} is not held"
        payloads: dict[bytes, Payload] = {}
        for decision, header in used:
            payload = self._load_payload(block.height, decision.update, header)
            if payload is None:
                return f"the payload of update {decision.update.hex()[:12]} is not held"
            payloads[decision.update] = payload

        try:
            model = self._engine.aggregate(
                block.body, self.model, lambda update, _: self._engine.check(payloads[update])
            )
        except ProtocolError as error:
            raise VerificationError(block.height, error.rule, str(error)) from error
        self._require_result(block, self._engine.compute_digest(model))
        self.model = model
        return None

    def _load_payload(self, height: int, update: bytes, header: UpdateHeader) -> Payload | None:
        with damage_breaks(height, "ROUND-4"):
            payload = self._archive.payload(update)
        if payload is None:
            return None
        name = update.hex()[:12]
        if compute_update_id(payload.header) != update:
            found = compute_update_id(payload.header).hex()[:12]
            raise VerificationError(height, "ROUND-4", f"what is stored as update {name} is update {found}")
        if not verify_header(payload.header):
            raise VerificationError(height, "WIRE-9", f"the signature stored with update {name} is not its trainer's")
        signed = Payload(header, payload.chunks)
        if not is_complete(signed):
            raise VerificationError(
                height, "ROUND-4", f"the stored chunks of update {name} do not hash to the root that its trainer signed"
            )
        return signed

    def _require_result(self, block: Block, digest: bytes) -> None:
        if digest != block.header.model:
            raise VerificationError(
                block.height,
                "AGG",
                f"the payloads lead to model {digest.hex()[:12]}, the header names {block.header.model.hex()[:12]}",
            )
