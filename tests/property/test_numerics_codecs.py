import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flobc.errors import PayloadFault
from flobc.numerics.codecs import CODEC_NAMES, decode_chunk, decode_update, encode_update, get_codec
from flobc.numerics.codecs.difference import Difference
from flobc.numerics.fixed_point import Grid, Segment, norm
from flobc.protocol.consensus.voting import MAX_COORDINATE_BYTES
from tests.support import aggregation_reference as reference

LIMIT = 2**30
BLOCK_CODECS = {"int16": (15, 256), "int8": (7, 64)}
GRID = Grid((Segment(0, 300, 24), Segment(300, 431, 20), Segment(431, 700, 24)))

deltas = arrays.arrays(
    np.float32,
    GRID.size,
    elements=st.one_of(
        st.floats(-(2**-13), 2**-13, width=32), st.floats(-63.5, 63.5, width=32), st.sampled_from([0.0, -0.0, 2.0**-25])
    ),
    fill=st.just(np.float32(3e-5)),
)
any_float32 = st.integers(0, 2**32 - 1).map(lambda bits: np.array([bits], np.uint32).view(np.float32)[0])


def encode(delta, codec, chunk_size=128, **options):
    return encode_update(delta, GRID, codec, chunk_size, **options)


def receive(encoded, codec, chunk_size=128):
    """The update, on the grid, as everybody else has it."""
    return decode_update(encoded.chunks, GRID, codec, chunk_size).update


def outcome(payload, count, grid, codec):
    """What ``payload`` decodes to and "", or None and the fault's code."""
    try:
        return decode_chunk(payload, 0, count, grid, codec), ""
    except PayloadFault as fault:
        return None, fault.code


@pytest.mark.parametrize("codec", CODEC_NAMES)
@given(delta=deltas, chunk_size=st.integers(1, 800))
def test_receivers_decode_what_the_sender_says(codec, delta, chunk_size):
    """AGG-10: what is aggregated is what decodes, whatever the chunks; its norm is the one announced."""
    encoded = encode(delta, codec, chunk_size)
    received = decode_update(encoded.chunks, GRID, codec, chunk_size)
    decoded = received.update
    assert norm(decoded) == received.norm == encoded.norm
    assert np.abs(decoded.astype(np.int64)).max() < LIMIT
    for index, chunk in enumerate(encoded.chunks):
        start = index * chunk_size
        count = min(chunk_size, GRID.size - start)
        assert len(chunk) <= get_codec(codec).max_chunk_bytes(count)
        assert decode_chunk(chunk, start, count, GRID, codec).tolist() == decoded[start : start + count].tolist()


@pytest.mark.parametrize("codec", CODEC_NAMES)
@given(delta=deltas, chunk_size=st.integers(1, 800), carries=st.booleans())
def test_a_sender_knows_what_receivers_decode(codec, delta, chunk_size, carries):
    """AGG-10: so it need not decode what it has encoded itself."""
    residual = np.full(GRID.size, 2.0**-20, np.float32) if carries else None
    encoded = encode(delta, codec, chunk_size, residual=residual, keep_decoded=True)
    assert encoded.decoded.tolist() == receive(encoded, codec, chunk_size).tolist()
    assert encode(delta, codec, chunk_size, residual=residual).chunks == encoded.chunks


@given(delta=deltas)
def test_float32_loses_nothing_of_the_grid(delta):
    """AGG-3, AGG-11."""
    exact = [
        round(value * 2**piece.fraction_bits)
        for piece in GRID.segments
        for value in delta[piece.start : piece.stop].astype(float).tolist()
    ]
    assert receive(encode(delta, "float32"), "float32").tolist() == exact == GRID.quantise_update(delta).tolist()


@pytest.mark.parametrize("codec", BLOCK_CODECS)
@given(delta=deltas)
def test_block_codecs_round_half_to_even(codec, delta):
    """AGG-12, AGG-14."""
    bits, block = BLOCK_CODECS[codec]
    exact, expected = GRID.quantise_update(delta).tolist(), []
    for start in range(0, len(exact), block):
        mantissas, exponent = reference.encode_block(exact[start : start + block], bits)
        expected += [m << exponent for m in mantissas]
    encoded = encode(delta, codec, 1024, residual=np.zeros(GRID.size, np.float32))
    assert receive(encoded, codec, 1024).tolist() == expected


@pytest.mark.parametrize("codec", CODEC_NAMES)
@given(st.integers(1, 2**32))
def test_no_codec_takes_more_than_a_header_may_claim(codec, count):
    """ROUND-2: whatever the chunk size."""
    assert get_codec(codec).max_chunk_bytes(count) <= MAX_COORDINATE_BYTES * count


@pytest.mark.parametrize("codec", BLOCK_CODECS)
@given(data=st.data(), count=st.integers(1, 300))
def test_a_payload_is_refused_or_the_only_one_for_its_values(codec, data, count):
    """AGG-13: any bytes are refused, or encoding what they decode to gives the same bytes."""
    grid = Grid.uniform(count, 0)
    bits, _ = BLOCK_CODECS[codec]
    length = get_codec(codec).max_chunk_bytes(count)
    split = count * (bits + 1) // 8
    mantissas = data.draw(arrays.arrays(np.uint8, split))
    exponents = data.draw(arrays.arrays(np.uint8, length - split, elements=st.integers(0, 32 - bits)))
    payload = mantissas.tobytes() + exponents.tobytes()
    decoded, code = outcome(payload, count, grid, codec)
    if code:
        assert code == "bad_encoding"
        return
    again = np.empty_like(decoded)
    part = Difference(decoded.astype(np.float32), None, 0, count)
    encoded, squares = get_codec(codec).encode_chunks(part, grid, again)
    assert encoded == [payload]
    assert again.tobytes() == decoded.tobytes()
    assert squares == sum(value * value for value in decoded.tolist())
    assert np.abs(decoded).max() < LIMIT


@pytest.mark.parametrize("codec", CODEC_NAMES)
@given(payload=st.binary(max_size=80), count=st.integers(1, 20))
def test_arbitrary_bytes_are_a_fault_or_in_range(codec, payload, count):
    """AGG-10 to AGG-13: no input ends in anything but values in range or one of the four faults."""
    decoded, code = outcome(payload, count, Grid.uniform(count), codec)
    assert code in {"", "bad_length", "bad_encoding", "non_finite", "out_of_range"}
    assert code or np.abs(decoded.astype(np.int64)).max() < LIMIT


@given(value=any_float32, fraction_bits=st.integers(0, 30))
def test_every_float32_is_rounded_exactly_or_refused(value, fraction_bits):
    """AGG-3, for all 2^32 bit patterns."""
    grid = Grid.uniform(1, fraction_bits)
    delta = np.array([value], np.float32)
    if not np.isfinite(value):
        code = "non_finite"
    else:
        exact = round(float(value) * 2**fraction_bits)
        code = "" if abs(exact) < LIMIT else "out_of_range"
    if code:
        with pytest.raises(PayloadFault) as fault:
            grid.quantise_update(delta)
        assert fault.value.code == code
    else:
        assert grid.quantise_update(delta).tolist() == [exact]


@given(delta=deltas)
def test_error_feedback_keeps_what_int8_loses(delta):
    """AGG-15: twenty equal deltas of int8 add up to the truth within one rounding of the last."""
    assume(np.abs(delta).max() < 1)
    residual, total = None, np.zeros(GRID.size)
    scale = np.concatenate([np.full(s.stop - s.start, 2.0**-s.fraction_bits) for s in GRID.segments])
    for _ in range(20):
        encoded = encode(delta, "int8", residual=residual)
        residual = encoded.residual
        total += receive(encoded, "int8") * scale
    assert np.allclose(total + residual, 20.0 * delta.astype(float), atol=1e-5)
