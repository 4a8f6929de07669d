"""Is a received payload the one that its signed header names?"""

from __future__ import annotations

from flobc.ports.payloads import Payload
from flobc.protocol.merkle import merkle_root
from flobc.protocol.messages import verify_header


def is_genuine(payload: Payload) -> bool:
    """Return whether the trainer signed the header and the payload is the one that it names."""
    return verify_header(payload.header) and is_complete(payload)


def is_complete(payload: Payload) -> bool:
    """Return whether the chunks are all there and hash to the header's root (ROUND-4).

    A payload that is not complete gets no vote and costs its trainer nothing: anyone could have sent it.
    """
    header = payload.header
    return (
        len(payload.chunks) == header.num_chunks
        and sum(map(len, payload.chunks)) == header.size_bytes
        and merkle_root(payload.chunks) == header.payload_root
    )
