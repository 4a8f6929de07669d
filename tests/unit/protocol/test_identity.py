import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.errors import LocalProtocolError, RemoteProtocolError
from flobc.protocol.identity import Identity, short_id, validate_public_key, verify_signature

P = 2**255 - 19
D = -121665 * pow(121666, P - 2, P) % P
L = 2**252 + 27742317777372353535851937790883648493

ALICE = Identity.from_seed(b"\x01" * 32)
BOB = Identity.from_seed(b"\x02" * 32)


def add(a, b):
    (x1, y1), (x2, y2) = a, b
    k = D * x1 * x2 * y1 * y2 % P
    x = (x1 * y2 + x2 * y1) * pow(1 + k, P - 2, P) % P
    return x, (y1 * y2 + x1 * x2) * pow(1 - k, P - 2, P) % P


def times(n, point):
    result = (0, 1)
    while n:
        if n & 1:
            result = add(result, point)
        point, n = add(point, point), n >> 1
    return result


def recover_x(y):
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * pow(2, (P - 1) // 4, P) % P
    return x if (x * x - square) % P == 0 else None


def encode(x, y, non_canonical=False):
    return ((y + (P if non_canonical else 0)) | (x & 1) << 255).to_bytes(32, "little")


def torsion_points():
    """The 8 points of small order: multiples of L * Q for the first Q that gives order 8."""
    y = 2
    while True:
        x = recover_x(y)
        if x is not None:
            generator = times(L, (x, y))
            if times(4, generator) != (0, 1):
                return [times(i, generator) for i in range(8)]
        y += 1


TORSION = torsion_points()
BASE = (recover_x(4 * pow(5, P - 2, P) % P), 4 * pow(5, P - 2, P) % P)


def refused(key):
    with pytest.raises(RemoteProtocolError, match="WIRE-13"):
        validate_public_key(key)


def test_rfc_8032_vectors():
    """RFC 8032 section 7.1, tests 1 and 2."""
    one = Identity.from_seed(bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"))
    assert one.public_key.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert one.sign(b"").hex() == (
        "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
        "d25bf5f0595bbe24655141438e7a100b"
    )
    two = Identity.from_seed(bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb"))
    assert two.sign(b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c"
        "387b2eaeb4302aeeb00d291612bb0c00"
    )


@given(st.binary(min_size=32, max_size=32))
def test_every_key_made_from_a_seed_is_accepted(seed):
    validate_public_key(Identity.from_seed(seed).public_key)


@given(st.binary(max_size=64).filter(lambda key: len(key) != 32))
def test_invalid_key_length(key):
    refused(key)


def test_the_torsion_points_are_all_there():
    assert len(set(TORSION)) == 8
    assert all(times(8, point) == (0, 1) for point in TORSION)


@pytest.mark.parametrize(("x", "y"), TORSION)
def test_invalid_small_order_key(x, y):
    """Every encoding: canonical, with the other sign bit, and with y + p where that fits in 255 bits."""
    refused(encode(x, y))
    refused(encode(x ^ 1, y))
    if y + P < 2**255:
        refused(encode(x, y, non_canonical=True))
        refused(encode(x ^ 1, y, non_canonical=True))


@pytest.mark.parametrize("y", range(19))
@pytest.mark.parametrize("sign", [0, 1])
def test_invalid_non_canonical_key(y, sign):
    """All encodings with p <= y < 2^255, on the curve or not."""
    refused(encode(sign, y, non_canonical=True))


@pytest.mark.parametrize("point", TORSION[1:])
def test_invalid_key_outside_the_prime_subgroup(point):
    mixed = add(BASE, point)
    refused(encode(*mixed))
    validate_public_key(encode(*BASE))


def test_invalid_key_not_on_the_curve():
    y = next(y for y in range(2, 100) if recover_x(y) is None)
    refused(encode(0, y))


@pytest.mark.parametrize(("x", "y"), TORSION)
def test_invalid_signature_under_a_small_order_key(x, y):
    """R = the key's own torsion point and s = 0 would verify for many messages if such keys were let in."""
    assert not verify_signature(encode(x, y), b"anything", encode(0, 1) + bytes(32))


@given(st.binary(max_size=6000))
def test_signatures_verify_and_are_deterministic(message):
    signature = ALICE.sign(message)
    assert signature == ALICE.sign(message)
    assert verify_signature(ALICE.public_key, message, signature)
    assert not verify_signature(BOB.public_key, message, signature)
    assert not verify_signature(ALICE.public_key, message + b"\0", signature)


@given(st.integers(0, 511), st.binary(max_size=40))
def test_invalid_signature_with_any_bit_flipped(bit, message):
    signature = bytearray(ALICE.sign(message))
    signature[bit // 8] ^= 1 << bit % 8
    assert not verify_signature(ALICE.public_key, message, bytes(signature))


def test_invalid_signature_malleated():
    """s + L signs the same thing by the equation, and must not be a second signature."""
    signature = ALICE.sign(b"vote")
    s = int.from_bytes(signature[32:], "little") + L
    assert not verify_signature(ALICE.public_key, b"vote", signature[:32] + s.to_bytes(32, "little"))


def test_invalid_key_or_signature_with_trailing_bytes():
    signature = ALICE.sign(b"vote")
    assert not verify_signature(ALICE.public_key + b"\0", b"vote", signature)
    assert not verify_signature(ALICE.public_key, b"ote", signature + b"v")


@given(st.binary(max_size=70), st.binary(max_size=20), st.binary(max_size=130))
def test_garbage_verifies_as_false_and_raises_nothing(key, message, signature):
    assert verify_signature(key, message, signature) is False


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_invalid_seed_length(length):
    with pytest.raises(LocalProtocolError, match=f"expected a seed of 32 bytes, found {length} bytes"):
        Identity.from_seed(bytes(length))


def test_secret_stays_out_of_the_repr():
    assert repr(ALICE) == f"Identity({short_id(ALICE.public_key)})"
    assert short_id(ALICE.public_key) == ALICE.public_key.hex()[:8]
