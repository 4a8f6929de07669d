"""Trust in one query: what became of an update, shown by one header, its certificate and a Merkle path."""

from __future__ import annotations

from flobc.errors import DataError, VerificationError
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import Decision, Header
from flobc.protocol.chain.proof import InclusionProof, UpdateProof, find_update_proof
from flobc.protocol.encoding import encode
from flobc.protocol.merkle import verify_inclusion
from flobc.protocol.params import Genesis
from flobc.protocol.roles.light_client import Certificate, LightClient


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
        proof = find_update_proof(block, update)
        if proof is not None:
            return proof
    raise DataError(f"No block in {archive.name} decides update {update.hex()[:12]}; check its id.")
