from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flobc.errors import LocalProtocolError
from flobc.protocol.merkle import (
    EMPTY_ROOT,
    inclusion_proof,
    leaf_hash,
    merkle_root,
    root_of_hashes,
    verify_inclusion,
)

# The leaves and roots that certificate transparency implementations share as their reference tree.
LEAVES = [
    bytes.fromhex(text)
    for text in [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ]
]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def definition(leaves):
    """RFC 6962 section 2.1, word for word: split at the largest power of two below n."""
    if not leaves:
        return sha256(b"").digest()
    if len(leaves) == 1:
        return sha256(b"\x00" + leaves[0]).digest()
    split = 1 << (len(leaves) - 1).bit_length() - 1
    return sha256(b"\x01" + definition(leaves[:split]) + definition(leaves[split:])).digest()


def path(leaves, index):
    """RFC 6962 section 2.1.1: the audit path, by its recursive definition."""
    if len(leaves) <= 1:
        return []
    split = 1 << (len(leaves) - 1).bit_length() - 1
    if index < split:
        return [*path(leaves[:split], index), definition(leaves[split:])]
    return [*path(leaves[split:], index - split), definition(leaves[:split])]


@pytest.mark.parametrize("size", range(1, 9))
def test_reference_roots(size):
    assert merkle_root(LEAVES[:size]).hex() == ROOTS[size - 1]


def test_empty_tree():
    assert merkle_root([]) == root_of_hashes([]) == EMPTY_ROOT
    assert EMPTY_ROOT.hex() == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@given(st.lists(st.binary(max_size=4), max_size=70))
def test_root_and_proofs_follow_the_definition(leaves):
    assert merkle_root(leaves) == definition(leaves)
    for index in range(len(leaves)):
        assert list(inclusion_proof(leaves, index)) == path(leaves, index)


@pytest.mark.parametrize("size", [*range(1, 34), 255, 256, 257])
def test_every_proof_verifies_for_its_place_only(size):
    leaves = [i.to_bytes(2, "big") for i in range(size)]
    root = merkle_root(leaves)
    for index in {0, 1, size // 2, size - 2, size - 1} & set(range(size)):
        proof = inclusion_proof(leaves, index)
        assert verify_inclusion(leaves[index], index, size, proof, root)
        others = [other for other in range(size) if other != index]
        assert not any(verify_inclusion(leaves[index], other, size, proof, root) for other in others)


@given(st.integers(1, 40), st.data())
def test_invalid_proof_with_any_change(size, data):
    leaves = [bytes([i]) for i in range(size)]
    root = merkle_root(leaves)
    index = data.draw(st.integers(0, size - 1))
    proof = inclusion_proof(leaves, index)
    assert not verify_inclusion(leaves[index] + b"x", index, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, (*proof, root), root)
    assert not verify_inclusion(leaves[index], index, size, proof, leaf_hash(root))
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        changed = (*proof[:place], leaf_hash(proof[place]), *proof[place + 1 :])
        assert not verify_inclusion(leaves[index], index, size, changed, root)
        assert not verify_inclusion(leaves[index], index, size, proof[:-1], root)


@given(st.integers(-3, 10), st.integers(-3, 10), st.lists(st.binary(max_size=40), max_size=6))
def test_garbage_proofs_verify_as_false(index, size, proof):
    assert not verify_inclusion(b"leaf", index, size, proof, b"\x00" * 32)


def test_an_inner_node_is_no_leaf():
    """The prefixes keep a node's two children from passing as one leaf's bytes."""
    leaves = [b"a", b"b", b"c", b"d"]
    inner = leaf_hash(b"a") + leaf_hash(b"b")
    proof = inclusion_proof(leaves, 0)[1:]
    assert not verify_inclusion(inner, 0, 2, proof, merkle_root(leaves))


def test_invalid_proof_that_is_too_long_for_the_size():
    """A true proof in a larger tree must not pass for a smaller one under the same root."""
    leaves = [b"a", b"b"]
    assert not verify_inclusion(b"b", 0, 1, inclusion_proof(leaves, 1), merkle_root(leaves))


@pytest.mark.parametrize("index", [-1, 3, 4])
def test_invalid_proof_index(index):
    with pytest.raises(LocalProtocolError, match="WIRE-14"):
        inclusion_proof([b"a", b"b", b"c"], index)
