"""Is a received payload the one that its signed header names?"""

from __future__ import annotations

from flobc.ports.payloads import Payload
from flobc.protocol.merkle import merkle_root


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
