"""Trust in one query: what became of an update, shown by one header, its certificate and a Merkle path."""

from __future__ import annotations

import dataclasses

from flobc.composition.verification.light import Certificate, LightClient
from flobc.errors import DataError, VerificationError
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import Block, Decision, Header
from flobc.protocol.encoding import U32, Digest, encode
from flobc.protocol.merkle import inclusion_proof, verify_inclusion
from flobc.protocol.messages import Seal
from flobc.protocol.params import Genesis


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


def verify_update(
    genesis: Genesis, header: Header, certificate: Certificate, decision: Decision, proof: InclusionProof
) -> bool:
    """Return whether a quorum of the genesis validators sealed exactly this decision into this header.

    The decision then says whether the update was accepted, with which score and weight; the header
    names the model it went into.
    """
    client = LightClient(genesis)
    if header.chain != client.head.chain:
        return False
    try:
        client.require_certified(header, certificate)
    except VerificationError:
        return False
    return verify_inclusion(encode(decision), proof.index, header.num_decisions, proof.path, header.decisions_root)


def build_update_proof(archive: ChainArchive, update: bytes) -> UpdateProof:
    """Return the proof of what was decided on an update. **Raises** DataError when no stored block decides it."""
    for height in range(archive.height, 0, -1):
        block = archive.block(height)
        if block is None:
            continue
        for index, decision in enumerate(block.body.decisions):
            if decision.update == update:
                return _build_proof(block, index)
    raise DataError(f"No block in {archive.name} decides update {update.hex()[:12]}; check its id.")


def _build_proof(block: Block, index: int) -> UpdateProof:
    leaves = [encode(decision) for decision in block.body.decisions]
    inclusion = InclusionProof(index, inclusion_proof(leaves, index))
    return UpdateProof(block.header, block.certificate, block.body.decisions[index], inclusion)
