"""Ed25519 identities: who signed, and whether a key may sign at all.

One library does all signing and verifying (PyNaCl, which is libsodium), because implementations of
Ed25519 disagree about odd keys and signatures, and replicas that disagree about one signature fork.

**Source**: RFC 8032; the refused keys are those that make a signature valid for many messages or
that have a second encoding.
"""

from __future__ import annotations

from functools import lru_cache

from nacl.bindings import (
    crypto_core_ed25519_is_valid_point,
    crypto_sign,
    crypto_sign_BYTES,
    crypto_sign_open,
    crypto_sign_seed_keypair,
)
from nacl.exceptions import BadSignatureError

from flobc.errors import LocalProtocolError, RemoteProtocolError

PublicKey = bytes

PUBLIC_KEY_BYTES = 32
SEED_BYTES = 32
SIGNATURE_BYTES: int = crypto_sign_BYTES

_RULE = "WIRE-13"

# Roles that share a process check the same small records again and again; a hit costs 1 % of a check.
# Long messages stay out, so the cache holds at most 4096 * (4096 + 96) bytes, 17 MB, and own signatures as much.
_CACHE_ENTRIES = 4096
_CACHED_MESSAGE_BYTES = 4096


class Identity:
    """A signing key and its public key. Signatures are deterministic; the secret never shows in a repr."""

    __slots__ = ("_secret", "public_key")

    def __init__(self, public_key: PublicKey, secret: bytes) -> None:
        self.public_key = public_key
        self._secret = secret

    @classmethod
    def from_seed(cls, seed: bytes) -> Identity:
        """The identity of a 32-byte secret seed.

        **Raises** LocalProtocolError if the seed has another length.
        """
        if len(seed) != SEED_BYTES:
            raise LocalProtocolError(_RULE, f"a seed of {SEED_BYTES} bytes", f"{len(seed)} bytes")
        public_key, secret = crypto_sign_seed_keypair(seed)
        return cls(public_key, secret)

    def sign(self, message: bytes) -> bytes:
        """The 64-byte signature of the message."""
        signature = crypto_sign(message, self._secret)[:SIGNATURE_BYTES]
        if len(message) <= _CACHED_MESSAGE_BYTES:
            _signed_here.add((self._secret[SEED_BYTES:], message, signature))  # the key that it really is of
        return signature

    def __repr__(self) -> str:
        return f"Identity({short_id(self.public_key)})"


def validate_public_key(key: bytes) -> None:
    """Check that a key may be admitted.

    Refused are: another length than 32 bytes, a y coordinate that is not reduced, a point that is not
    on the curve, and every point outside the subgroup of prime order (small-order points among them).

    **Raises** RemoteProtocolError (rule ``WIRE-13``).
    """
    if len(key) != PUBLIC_KEY_BYTES:
        raise RemoteProtocolError(_RULE, f"a public key of {PUBLIC_KEY_BYTES} bytes", f"{len(key)} bytes")
    if not crypto_core_ed25519_is_valid_point(key):
        raise RemoteProtocolError(_RULE, "the canonical encoding of a curve point of prime order", f"key {key.hex()}")


def verify_signature(key: PublicKey, message: bytes, signature: bytes) -> bool:
    """Whether the signature is the key's for this message; False for garbage of any length."""
    if len(message) > _CACHED_MESSAGE_BYTES:
        return _verify(key, message, signature)
    return _signed_here.holds((key, message, signature)) or _verify_cached(key, message, signature)


def short_id(key: PublicKey) -> str:
    """The first 8 hex digits of a key: for people and logs, never for comparisons."""
    return key[:4].hex()


def _verify(key: bytes, message: bytes, signature: bytes) -> bool:
    if len(key) != PUBLIC_KEY_BYTES or len(signature) != SIGNATURE_BYTES:
        return False
    try:
        crypto_sign_open(signature + message, key)
    except BadSignatureError:
        return False
    return True


_verify_cached = lru_cache(maxsize=_CACHE_ENTRIES)(_verify)


class _SignedHere:
    """The last signatures that this process made itself: there is nothing to verify about them.

    Two generations in place of a lock: what a thread's turn at a bad moment makes them forget is only verified.
    """

    def __init__(self) -> None:
        self._young: dict[tuple[bytes, bytes, bytes], None] = {}
        self._old: dict[tuple[bytes, bytes, bytes], None] = {}

    def add(self, item: tuple[bytes, bytes, bytes]) -> None:
        """Remember one, and forget the older ones beyond ``_CACHE_ENTRIES``."""
        self._young[item] = None
        if len(self._young) >= _CACHE_ENTRIES // 2:
            self._old, self._young = self._young, {}

    def holds(self, item: tuple[bytes, bytes, bytes]) -> bool:
        """Whether exactly this key signed exactly this message so, here and lately."""
        return item in self._young or item in self._old


_signed_here = _SignedHere()
