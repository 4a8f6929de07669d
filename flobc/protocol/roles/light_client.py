"""What can be known of a chain from its genesis keys and headers alone, without its log (CHAIN-6, CHAIN-8)."""

from __future__ import annotations

from collections.abc import Iterable

from flobc.errors import VerificationError
from flobc.protocol.chain.block import Block, Header, compute_header_digest, verify_certificate
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.messages import Seal
from flobc.protocol.params import Genesis, get_quorum

Certificate = tuple[Seal, ...]


class LightClient:
    """Follows a chain by headers and certificates; believes nobody but a quorum of the genesis validators.

    ``head`` is the newest header it has accepted, the genesis's at first.
    """

    def __init__(self, genesis: Genesis) -> None:
        self.genesis = genesis
        self.head = build_initial_state(genesis).head.header
        self.head_digest = compute_header_digest(self.head)

    def accept(self, header: Header, certificate: Certificate) -> None:
        """Make the next header the head.

        **Raises** VerificationError when it is not the next one or not certified; the head stays.
        """
        height = self.head.height + 1
        self._require_own_chain(header, height)
        if header.height != height:
            raise VerificationError(height, "CHAIN-8", f"the block in this place says it is of height {header.height}")
        if header.parent != self.head_digest:
            raise VerificationError(
                height,
                "CHAIN-8",
                f"the block names parent {header.parent.hex()[:12]}, but block {height - 1} "
                f"is {self.head_digest.hex()[:12]}",
            )
        self._advance(header, certificate)

    def jump(self, header: Header, certificate: Certificate) -> None:
        """Make a later header the head without those between: its certificate proves it by itself.

        **Raises** VerificationError when it is not later or not certified; the head stays.
        """
        self._require_own_chain(header, header.height)
        if header.height <= self.head.height:
            raise VerificationError(
                header.height, "CHAIN-8", f"the block is no later one than block {self.head.height}, the head"
            )
        self._advance(header, certificate)

    def _advance(self, header: Header, certificate: Certificate) -> None:
        self.require_certified(header, certificate)
        self.head, self.head_digest = header, compute_header_digest(header)

    def _require_own_chain(self, header: Header, height: int) -> None:
        if header.chain != self.head.chain:
            raise VerificationError(
                height, "CHAIN-1", f"the block is of chain {header.chain.hex()[:12]}, not {self.head.chain.hex()[:12]}"
            )

    def require_certified(self, header: Header, certificate: Certificate) -> None:
        """Check a header's certificate wherever the header stands, for validators never change within a chain.

        Stricter than counting a quorum: every seal must be good, each validator's stands once, in
        ascending order, so that a certificate has one form and nothing can be slipped in.

        **Raises** VerificationError.
        """
        validators = self.genesis.validators
        quorum = get_quorum(len(validators))
        signers = [seal.validator for seal in certificate]
        if signers != sorted(set(signers)):
            raise VerificationError(header.height, "CHAIN-6", "the certificate's seals are not distinct and in order")
        if len(certificate) < quorum:
            raise VerificationError(
                header.height, "CHAIN-6", f"the certificate has {len(certificate)} seals of the {quorum} that it needs"
            )
        for seal in certificate:
            if not verify_certificate(header, (seal,), validators, 1):
                raise VerificationError(
                    header.height,
                    "CHAIN-6",
                    f"the seal of {seal.validator.hex()[:12]} is no validator's on this header",
                )


def verify_headers(genesis: Genesis, blocks: Iterable[Block]) -> Header:
    """Return the newest header after checking headers and certificates of all ``blocks``, from height 1 on.

    **Raises** VerificationError, naming the first height that does not hold.
    """
    client = LightClient(genesis)
    for block in blocks:
        client.accept(block.header, block.certificate)
    return client.head
