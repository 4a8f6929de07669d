import hashlib

import numpy as np
import pytest

from flobc.errors import PayloadFault, UsageError
from flobc.numerics.codecs import decode_chunk, decode_update, encode_update, get_codec
from flobc.numerics.fixed_point import Grid


def int16_chunk(mantissas, exponents):
    return np.array(mantissas, "<i2").tobytes() + bytes(exponents)


def int8_chunk(mantissas, exponents):
    return np.array(mantissas, "<i1").tobytes() + bytes(exponents)


def code_of(codec, payload, count):
    with pytest.raises(PayloadFault) as fault:
        decode_chunk(payload, 0, count, Grid.uniform(count), codec)
    return fault.value.code


def test_int16_layout():
    """AGG-12: mantissas, then exponents."""
    assert decode_chunk(int16_chunk([1, -2, 20000], [3]), 0, 3, Grid.uniform(3), "int16").tolist() == [8, -16, 160000]


@pytest.mark.parametrize(
    ("codec", "payload"),
    [
        ("int16", int16_chunk([20000, 0], [16])),
        ("int16", int16_chunk([20000, 0], [255])),
        ("int16", int16_chunk([-32768, 0], [0])),
        ("int16", int16_chunk([16383, 0], [1])),
        ("int16", int16_chunk([0, 0], [1])),
        ("int8", int8_chunk([100, 0], [24])),
        ("int8", int8_chunk([-128, 0], [0])),
        ("int8", int8_chunk([63, 0], [1])),
    ],
)
def test_invalid_blocks(codec, payload):
    """AGG-13: exponents out of range, mantissas out of range, forms that are not the shortest."""
    assert code_of(codec, payload, 2) == "bad_encoding"


def test_largest_blocks():
    """AGG-13: the largest exponents stay below 2^30."""
    grid = Grid.uniform(2)
    assert decode_chunk(int16_chunk([32767, -32767], [15]), 0, 2, grid, "int16").tolist() == [1073709056, -1073709056]
    assert decode_chunk(int8_chunk([127, -127], [23]), 0, 2, grid, "int8").tolist() == [1065353216, -1065353216]


@pytest.mark.parametrize("codec", ["float32", "int16", "int8"])
@pytest.mark.parametrize("change", [lambda data: data[:-1], lambda data: data + b"\0", lambda _: b""])
def test_invalid_lengths(codec, change):
    """AGG-10."""
    chunks = encode_update(np.ones(300, np.float32), Grid.uniform(300), codec, 300).chunks
    assert code_of(codec, change(chunks[0]), 300) == "bad_length"


def test_invalid_number_of_chunks():
    """AGG-10."""
    encoded = encode_update(np.ones(300, np.float32), Grid.uniform(300), "int8", 100)
    with pytest.raises(PayloadFault, match="2 chunks, expected 3") as fault:
        decode_update(encoded.chunks[:2], Grid.uniform(300), "int8", 100)
    assert fault.value.code == "bad_length"


@pytest.mark.parametrize(("value", "code"), [(np.nan, "non_finite"), (-np.inf, "non_finite"), (64.0, "out_of_range")])
def test_invalid_float32_values(value, code):
    """AGG-11."""
    assert code_of("float32", np.array([1, value], "<f4").tobytes(), 2) == code


def test_unaligned_payloads_decode():
    """A chunk may lie anywhere inside a larger message."""
    chunk = encode_update(np.linspace(-1, 1, 300, dtype=np.float32), Grid.uniform(300), "int16", 300).chunks[0]
    message = memoryview(b"x" + chunk)
    expected = decode_chunk(chunk, 0, 300, Grid.uniform(300), "int16")
    assert decode_chunk(message[1:], 0, 300, Grid.uniform(300), "int16").tolist() == expected.tolist()


def test_digests_belong_to_their_chunks():
    encoded = encode_update(
        np.ones(300, np.float32), Grid.uniform(300), "int16", 64, digest=lambda data: hashlib.sha256(data).digest()
    )
    assert encoded.digests == tuple(hashlib.sha256(chunk).digest() for chunk in encoded.chunks)
    assert encode_update(np.ones(300, np.float32), Grid.uniform(300), "int16", 64).digests == ()


def test_residual_by_default_for_int8_alone():
    """AGG-15."""
    delta, grid = np.ones(4, np.float32), Grid.uniform(4)
    assert encode_update(delta, grid, "int16", 4).residual is None
    assert encode_update(delta, grid, "int16", 4, residual=np.zeros(4, np.float32)).residual is not None
    assert encode_update(delta, grid, "int8", 4).residual is not None


def test_inputs_stay_as_they_are():
    delta, residual = np.full(4, 0.3, np.float32), np.full(4, 0.1, np.float32)
    encode_update(delta, Grid.uniform(4), "int8", 4, residual=residual)
    assert (delta == np.float32(0.3)).all()
    assert (residual == np.float32(0.1)).all()


def test_unknown_codec():
    with pytest.raises(UsageError, match="choose one of float32, int16, int8"):
        get_codec("int4")
