"""What is wrong with a block, in one sentence: its link, certificate and body, as far as no log is needed."""

from __future__ import annotations

from flobc.composition.verification.blocks import require_body
from flobc.errors import VerificationError
from flobc.protocol.chain.block import Block, compute_decisions_root, compute_evidence_root
from flobc.protocol.params import Genesis
from flobc.protocol.roles.light_client import LightClient


class Examiner:
    """Looks at blocks of one chain; goes on behind a bad one, for people shall see what comes after it too."""

    def __init__(self, genesis: Genesis) -> None:
        self._client = LightClient(genesis)
        self.first_digest = self._client.head_digest

    def find_link_defect(self, block: Block, parent: bytes, height: int) -> str | None:
        """Return what is wrong with a block that stands at ``height`` behind the header ``parent`` (CHAIN-6, CHAIN-8).

        The body is held to the header's roots; who signed its updates ``find_body_defect`` looks at.
        """
        header, body = block.header, block.body
        if header.chain != self._client.head.chain:
            return f"CHAIN-1: it is of chain {header.chain.hex()[:12]}, not {self._client.head.chain.hex()[:12]}"
        if header.height != height:
            return f"CHAIN-8: in the place of block {height} stands one that says it is {header.height}"
        if header.parent != parent:
            named = header.parent.hex()[:12]
            return f"CHAIN-8: it names the parent {named}, but block {height - 1} is {parent.hex()[:12]}"
        try:
            self._client.require_certified(header, block.certificate)
        except VerificationError as error:
            return _shorten(error)
        if (
            compute_decisions_root(body.decisions) != header.decisions_root
            or compute_evidence_root(body.evidence) != header.evidence_root
        ):
            return "CHAIN-7: its body does not hash to what its header commits to"
        return None

    def find_defect(self, block: Block, parent: bytes, height: int) -> str | None:
        """As ``find_link_defect``, and also whether trainers signed the updates and votes hash to the decisions."""
        defect = self.find_link_defect(block, parent, height)
        if defect is None:
            try:
                require_body(block)
            except VerificationError as error:
                return _shorten(error)
        return defect


def _shorten(error: VerificationError) -> str:
    """The rule and what is wrong; the page says which block."""
    return str(error).removeprefix(f"height {error.height} breaks ")
