"""The published vectors, read as somebody else's implementation would read them."""

import json
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import pytest

from flobc.errors import LocalProtocolError, RemoteProtocolError
from flobc.protocol.encoding import MAX_LENGTH, compute_digest, decode, encode
from flobc.protocol.identity import Identity
from flobc.protocol.messages import (
    Evidence,
    Fault,
    UpdateHeader,
    Vote,
    compute_update_id,
    decode_record,
    encode_record,
    verify_message,
)
from flobc.protocol.params import ScoringParams, TensorSpec
from tests.vectors.make_encoding import CLASSES, describe

FOLDER = Path(__file__).parents[2] / "vectors"
VECTORS = json.loads((FOLDER / "encoding.json").read_text(encoding="utf-8"))
VALID = pytest.mark.parametrize("case", VECTORS["valid"], ids=lambda case: case["name"].replace(" ", "_"))
SIGNED = [case for case in VECTORS["valid"] if "seed" in case]


def test_vectors_are_what_the_code_gives():
    """WIRE-1 to WIRE-10: a change of any byte is a change of the protocol."""
    script = FOLDER / "make_encoding.py"
    assert subprocess.run([sys.executable, script, "--check"], check=False).returncode == 0


@VALID
def test_decoded_and_encoded_again(case):
    """WIRE-1, WIRE-2."""
    data = bytes.fromhex(case["encoding"])
    value = decode(CLASSES[case["type"]], data)
    assert describe(value) == case["fields"]
    assert encode(value) == data
    if "record" in case:
        assert decode_record(bytes.fromhex(case["record"])) == value
        assert encode_record(value).hex() == case["record"]


@VALID
def test_digest(case):
    """WIRE-7, WIRE-8: the tag is one byte of length, "flobc/1/" and the type's name."""
    name = b"flobc/1/" + case["type"].encode()
    data = bytes.fromhex(case["encoding"])
    digest = sha256(bytes([len(name)]) + name + data).hexdigest()
    assert case["digest"] == digest == compute_digest(decode(CLASSES[case["type"]], data)).hex()


@pytest.mark.parametrize("case", SIGNED, ids=lambda case: case["name"].replace(" ", "_"))
def test_signature(case):
    """WIRE-7, WIRE-9: over the tag and every field but the last, which is the signature."""
    name = b"flobc/1/" + case["type"].encode()
    data = bytes.fromhex(case["encoding"])
    signed = bytes([len(name)]) + name + data[:-64]
    assert signed.hex() == case["signed_bytes"]
    signer = Identity.from_seed(bytes.fromhex(case["seed"]))
    assert signer.sign(signed) == data[-64:]
    message = decode(CLASSES[case["type"]], data)
    assert message.sender == signer.public_key
    assert verify_message(message)


def test_update_ids():
    """ROUND-2: the digest of the header with its signature set to zeros."""
    for case in VECTORS["valid"]:
        if case["type"] == "UpdateHeader":
            data = bytes.fromhex(case["encoding"])
            unsigned = decode(UpdateHeader, data[:-64] + bytes(64))
            assert (
                compute_digest(unsigned).hex()
                == case["update_id"]
                == compute_update_id(decode(UpdateHeader, data)).hex()
            )


@pytest.mark.parametrize("case", VECTORS["invalid"], ids=lambda case: case["name"])
def test_invalid(case):
    """WIRE-3 to WIRE-6, WIRE-10: each names the rule that it breaks."""
    data = bytes.fromhex(case["bytes"])
    with pytest.raises(RemoteProtocolError) as caught:
        decode_record(data) if case["type"] == "record" else decode(CLASSES[case["type"]], data)
    assert caught.value.rule == case["rule"]


@pytest.mark.parametrize(
    "value",
    [
        Vote(b"short", 0, Fault.NONE, 0),
        Vote(bytes(33), 0, Fault.NONE, 0),
        Vote(bytes(32), 2**31, Fault.NONE, 0),
        Vote(bytes(32), 0, Fault.NONE, -1),
        Vote(bytes(32), 0.5, Fault.NONE, 0),
        ScoringParams(metric="f1"),
        TensorSpec("w", (2**32,), "float32", "train", 24, 0, 0),
    ],
    ids=repr,
)
def test_invalid_values_are_refused_before_they_are_sent(value):
    """WIRE-1: a value outside its annotation is our own mistake, and no byte of it leaves."""
    with pytest.raises(LocalProtocolError, match="WIRE-1"):
        encode(value)


def test_invalid_length_of_ours():
    """WIRE-5."""
    with pytest.raises(LocalProtocolError, match="WIRE-5"):
        encode(Evidence(bytes(MAX_LENGTH + 1), b""))
