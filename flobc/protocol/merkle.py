"""Merkle trees over SHA-256, with the leaf and node prefixes of RFC 6962.

A tree of n leaves is built level by level: neighbours are paired and a last node without a neighbour
moves up unchanged. That gives the RFC's tree (split at the largest power of two below n) without
recursion.

**Source**: RFC 6962 section 2.1; verification is RFC 9162 section 2.1.3.2.
"""

from __future__ import annotations

from collections.abc import Sequence
from hashlib import sha256

from flobc.errors import LocalProtocolError

EMPTY_ROOT = sha256(b"").digest()

_LEAF_PREFIX = b"\x00"
_NODE_PREFIX = b"\x01"


def leaf_hash(leaf: bytes | memoryview) -> bytes:
    """The hash of one leaf: SHA-256(0x00 || leaf), without copying a large leaf."""
    found = sha256(_LEAF_PREFIX)
    found.update(leaf)
    return found.digest()


def merkle_root(leaves: Sequence[bytes] | Sequence[memoryview]) -> bytes:
    """The root over the leaves in their order; SHA-256 of nothing for no leaves."""
    return root_of_hashes([leaf_hash(leaf) for leaf in leaves])


def root_of_hashes(hashes: Sequence[bytes]) -> bytes:
    """The root over leaves of which only the leaf hashes are known."""
    if not hashes:
        return EMPTY_ROOT
    level = list(hashes)
    while len(level) > 1:
        level = _parent_level(level)
    return level[0]


def inclusion_proof(leaves: Sequence[bytes], index: int) -> tuple[bytes, ...]:
    """The sibling hashes from the leaf at ``index`` up to the root.

    **Raises** LocalProtocolError (rule ``WIRE-14``) if there is no such leaf.
    """
    if not 0 <= index < len(leaves):
        raise LocalProtocolError("WIRE-14", f"a leaf index below {len(leaves)}", str(index))
    return proofs_from_hashes([leaf_hash(leaf) for leaf in leaves])[index]


def proofs_from_hashes(hashes: Sequence[bytes]) -> list[tuple[bytes, ...]]:
    """As ``inclusion_proof``, of every leaf, for leaves that are hashed already."""
    levels = [list(hashes)]
    while len(levels[-1]) > 1:
        levels.append(_parent_level(levels[-1]))
    return [
        tuple(level[sibling] for height, level in enumerate(levels) if (sibling := index >> height ^ 1) < len(level))
        for index in range(len(hashes))
    ]


def verify_inclusion(leaf: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether the proof shows ``leaf`` at ``index`` in the tree of ``size`` leaves under ``root``."""
    if not 0 <= index < size:
        return False
    node, last = index, size - 1
    digest = leaf_hash(leaf)
    for sibling in proof:
        if last == 0:
            return False
        if node & 1 or node == last:
            digest = _node_hash(sibling, digest)
            while not node & 1 and node:
                node >>= 1
                last >>= 1
        else:
            digest = _node_hash(digest, sibling)
        node >>= 1
        last >>= 1
    return last == 0 and digest == root


def _node_hash(left: bytes, right: bytes) -> bytes:
    return sha256(_NODE_PREFIX + left + right).digest()


def _parent_level(level: Sequence[bytes]) -> list[bytes]:
    parents = [_node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    if len(level) & 1:
        parents.append(level[-1])
    return parents
