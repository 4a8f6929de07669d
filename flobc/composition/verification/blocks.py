"""One stored block: does its body belong to its header, and does it say what the log says?"""

from __future__ import annotations

import dataclasses

from flobc.errors import VerificationError
from flobc.protocol.chain.block import BLOCK_VERSION, Block, Header, find_body_defect


def require_body(block: Block) -> None:
    """Check that the body is what the header commits to and what trainers signed. **Raises** VerificationError."""
    if block.version != BLOCK_VERSION:
        raise VerificationError(
            block.height, "CHAIN-8", f"the block is of version {block.version}, not {BLOCK_VERSION}"
        )
    defect = find_body_defect(block.header, block.body)
    if defect is not None:
        raise VerificationError(block.height, *defect)
    for decision, header in zip(block.body.decisions, block.body.headers, strict=True):
        if (header.trainer, header.base_height, header.k) != (decision.trainer, decision.base_height, decision.k):
            name = decision.update.hex()[:12]
            raise VerificationError(
                block.height,
                "CHAIN-7",
                f"the decision on update {name} names another trainer, base or k than its header",
            )


def require_template(template: Header, stored: Header) -> None:
    """Check a stored header against what the log says of it, all but the model. **Raises** VerificationError."""
    expected = dataclasses.replace(template, model=stored.model)
    _require_equal(template.height, "header", expected, stored)


def require_same(from_log: Block, stored: Block) -> None:
    """Check a stored block against the one that the log commits. **Raises** VerificationError."""
    _require_equal(from_log.height, "header", from_log.header, stored.header)
    _require_equal(from_log.height, "body", from_log.body, stored.body)
    _require_equal(from_log.height, "block", from_log, stored)


def _require_equal(height: int, part: str, expected: object, found: object) -> None:
    if expected == found:
        return
    fields = [item.name for item in dataclasses.fields(expected)]  # type: ignore[arg-type]
    different = next(name for name in fields if getattr(expected, name) != getattr(found, name))
    raise VerificationError(height, "CHAIN-10", f"the log leads to another {different} than the stored {part} has")
