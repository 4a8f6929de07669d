"""ROUND-4: only what the signed root vouches for is an update's payload."""

from __future__ import annotations

import dataclasses

from hypothesis import given
from hypothesis import strategies as st

from flobc.ports.payloads import Payload
from flobc.runtime.assembly import is_complete
from tests.support.payloads import build_payload

CHUNKS = st.lists(st.binary(max_size=8), min_size=1, max_size=6).map(tuple)


@given(CHUNKS)
def test_the_chunks_that_were_hashed_are_complete(chunks: tuple[bytes, ...]) -> None:
    assert is_complete(build_payload(chunks=chunks))


@given(CHUNKS, CHUNKS)
def test_no_other_chunks_are(chunks: tuple[bytes, ...], others: tuple[bytes, ...]) -> None:
    received = Payload(build_payload(chunks=chunks).header, others)
    assert is_complete(received) == (chunks == others)


@given(CHUNKS, st.sampled_from(["num_chunks", "size_bytes"]), st.integers(-2, 2).filter(bool))
def test_counts_must_be_those_of_the_chunks(chunks: tuple[bytes, ...], name: str, off_by: int) -> None:
    payload = build_payload(chunks=chunks)
    changed = dataclasses.replace(payload.header, **{name: getattr(payload.header, name) + off_by})
    assert not is_complete(Payload(changed, chunks))


def test_no_chunks_at_all_are_no_payload_of_some() -> None:
    assert not is_complete(Payload(build_payload(chunks=(b"a",)).header, ()))
