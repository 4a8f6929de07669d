"""Every value of every type, and every mutation of its bytes."""

import dataclasses
import enum
import json
import types
import typing
from pathlib import Path
from typing import Annotated, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flobc.errors import RemoteProtocolError
from flobc.protocol.encoding import decode, encode
from flobc.protocol.messages import decode_record, encode_record
from tests.vectors.make_encoding import CLASSES, RECORDS

VECTORS = json.loads((Path(__file__).parents[1] / "vectors" / "encoding.json").read_text(encoding="utf-8"))
SAMPLES = [bytes.fromhex(case["record"]) for case in VECTORS["valid"] if "record" in case]

PLAIN = {
    int: st.integers(-(2**63), 2**63 - 1),
    bool: st.booleans(),
    bytes: st.binary(max_size=20),
    str: st.text(max_size=10),
}


def strategy(hint):
    """Values of an annotation, by its meaning as spec/WIRE.md tells it."""
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if hint in PLAIN:
        return PLAIN[hint]
    if origin is Annotated:
        meaning, bits = arguments[1], 8 * arguments[1].size
        if arguments[0] is bytes:
            return st.binary(min_size=meaning.size, max_size=meaning.size)
        return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if meaning.signed else st.integers(0, 2**bits - 1)
    if origin is Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        return st.lists(strategy(arguments[0]), max_size=3).map(tuple)
    if origin is dict:
        return st.dictionaries(strategy(arguments[0]), strategy(arguments[1]), max_size=3)
    if origin in (typing.Union, types.UnionType):
        return st.one_of(st.none(), strategy(arguments[0]))
    if issubclass(hint, enum.IntEnum):
        return st.sampled_from(hint)
    hints = typing.get_type_hints(hint, include_extras=True)
    return st.builds(hint, **{field.name: strategy(hints[field.name]) for field in dataclasses.fields(hint)})


ANY = {name: strategy(cls) for name, cls in CLASSES.items()}
ANY_RECORD = st.one_of(*(ANY[cls.__name__] for cls in RECORDS))


@pytest.mark.parametrize("name", sorted(CLASSES))
def test_round_trip(name):
    """WIRE-1: decode undoes encode."""

    @settings(max_examples=30)
    @given(ANY[name])
    def check(value):
        data = encode(value)
        assert decode(CLASSES[name], data) == value
        assert encode(decode(CLASSES[name], data)) == data

    check()


@given(ANY_RECORD)
def test_records_round_trip(record):
    """WIRE-10."""
    assert decode_record(encode_record(record)) == record


@given(ANY_RECORD, ANY_RECORD)
def test_different_records_have_different_bytes(one, other):
    """WIRE-1."""
    assert (one == other) == (encode_record(one) == encode_record(other))


def check_canonical(data):
    try:
        record = decode_record(data)
    except RemoteProtocolError:
        return
    assert encode_record(record) == data


@given(st.binary(max_size=400))
def test_random_bytes_are_refused_or_canonical(data):
    """WIRE-1 to WIRE-6: nothing else is ever raised."""
    check_canonical(data)


@given(st.sampled_from(sorted([1, 2, 3, 4, 5, 6, 16, 17])), st.binary(max_size=400))
def test_random_bodies_are_refused_or_canonical(code, data):
    """WIRE-1 to WIRE-6."""
    check_canonical(bytes([code]) + data)


@given(st.data())
def test_mutated_records_are_refused_or_canonical(data):
    """WIRE-1 to WIRE-6: bytes changed, cut out, doubled or joined with another record's."""
    record = data.draw(st.sampled_from(SAMPLES))
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(record)))
        end = data.draw(st.integers(start, min(len(record), start + 80)))
        piece = data.draw(
            st.one_of(
                st.binary(max_size=8),
                st.sampled_from(SAMPLES).map(lambda other, at=start: other[at:]),
                st.just(record[start:end] * 2),
                st.sampled_from([b"\x00" * 4, b"\xff" * 4, b"\x00\x00\x00\x01", b"\x01", b"\x02"]),
            )
        )
        record = record[:start] + piece + record[end:]
    check_canonical(record)
