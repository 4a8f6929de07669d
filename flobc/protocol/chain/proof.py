"""The proof of what became of an update: one header, its certificate and a Merkle path (CHAIN-6, CHAIN-7)."""

from __future__ import annotations

import dataclasses

from flobc.protocol.chain.block import Block, Decision, Header
from flobc.protocol.encoding import U32, Digest, encode
from flobc.protocol.merkle import inclusion_proof
from flobc.protocol.messages import Seal


@dataclasses.dataclass(frozen=True)
class InclusionProof:
    """The way from a decision, the ``index``-th of its block, up to the header's decisions root."""

    index: U32
    path: tuple[Digest, ...]


@dataclasses.dataclass(frozen=True)
class UpdateProof:
    """All that a stranger with the genesis needs; has a canonical encoding like everything on the chain."""

    header: Header
    certificate: tuple[Seal, ...]
    decision: Decision
    inclusion: InclusionProof


def find_update_proof(block: Block, update: bytes) -> UpdateProof | None:
    """Return the proof of what a block with its body decided on an update, or None when it does not decide it."""
    for index, decision in enumerate(block.body.decisions):
        if decision.update == update:
            leaves = [encode(item) for item in block.body.decisions]
            inclusion = InclusionProof(index, inclusion_proof(leaves, index))
            return UpdateProof(block.header, block.certificate, decision, inclusion)
    return None
