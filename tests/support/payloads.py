"""Payloads as trainers sign them."""

from __future__ import annotations

from flobc.ports.payloads import Payload
from flobc.protocol.merkle import merkle_root
from flobc.protocol.messages import UpdateHeader, sign
from tests.support.dialogue import identity


def build_payload(
    trainer: int = 0, base_height: int = 0, k: int = 0, chunks: tuple[bytes, ...] = (b"ab", b"c")
) -> Payload:
    key = identity("trainer", trainer)
    header = UpdateHeader(
        chain=bytes(32),
        trainer=key.public_key,
        base_height=base_height,
        k=k,
        num_examples=10,
        codec="int16",
        norm=5,
        payload_root=merkle_root(chunks),
        num_chunks=len(chunks),
        size_bytes=sum(map(len, chunks)),
    )
    return Payload(sign(header, key), chunks)
