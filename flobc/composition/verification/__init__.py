"""Finds out whether a chain holds, believing nothing but its genesis."""

from flobc.composition.verification.chain import VerifyReport, verify_chain
from flobc.composition.verification.proofs import build_update_proof, verify_update
from flobc.protocol.chain.proof import InclusionProof, UpdateProof
from flobc.protocol.roles.light_client import LightClient, verify_headers

__all__ = [
    "InclusionProof",
    "LightClient",
    "UpdateProof",
    "VerifyReport",
    "build_update_proof",
    "verify_chain",
    "verify_headers",
    "verify_update",
]
