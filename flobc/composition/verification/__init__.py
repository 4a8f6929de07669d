"""Finds out whether a chain holds, believing nothing but its genesis."""

from flobc.composition.verification.chain import VerifyReport, verify_chain
from flobc.composition.verification.light import LightClient, verify_headers
from flobc.composition.verification.proofs import InclusionProof, UpdateProof, build_update_proof, verify_update

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
