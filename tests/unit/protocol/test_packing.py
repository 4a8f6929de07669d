"""Fields that are packed together are refused as each alone is, and nothing of a refused value is written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from flobc.errors import LocalProtocolError, RemoteProtocolError
from flobc.protocol.encoding import decode, encode
from flobc.protocol.messages import Fault, Vote

VOTE = Vote(b"u" * 32, -5, Fault.NONE, 7, 1, 2)


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("update", b"u" * 31, "32 bytes"),
        ("update", b"u" * 33, "32 bytes"),
        ("score", 2**31, "a signed 32-bit integer"),
        ("elapsed_ms", -1, "a unsigned 32-bit integer"),
        ("elapsed_ms", 1.0, "a unsigned 32-bit integer"),
        ("partition", None, "a unsigned 16-bit integer"),
    ],
)
def test_what_does_not_fit_is_named(field: str, value: Any, expected: str) -> None:
    """WIRE-1: struct alone would cut, fill up or speak of a format."""
    with pytest.raises(LocalProtocolError) as caught:
        encode(replace(VOTE, **{field: value}))
    assert (caught.value.rule, caught.value.expected) == ("WIRE-1", expected)


def test_bytes_of_another_kind_are_bytes() -> None:
    """WIRE-1."""
    assert encode(replace(VOTE, update=memoryview(VOTE.update))) == encode(VOTE)  # type: ignore[arg-type]


@pytest.mark.parametrize("size", range(len(encode(VOTE))))
def test_a_record_cut_short_is_refused(size: int) -> None:
    """WIRE-3."""
    with pytest.raises(RemoteProtocolError, match="WIRE-3"):
        decode(Vote, encode(VOTE)[:size])


def test_a_number_that_names_no_member_is_refused() -> None:
    """WIRE-4."""
    data = bytearray(encode(VOTE))
    data[36] = 99
    with pytest.raises(RemoteProtocolError, match=r"a Fault code.*99"):
        decode(Vote, bytes(data))
