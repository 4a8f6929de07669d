"""Codecs: how an update travels in chunks, and back onto the same grid at every receiver."""

from flobc.numerics.codecs.base import CODEC_NAMES, Codec, get_codec
from flobc.numerics.codecs.difference import chunk_bounds
from flobc.numerics.codecs.transfer import (
    DecodedUpdate,
    EncodedUpdate,
    decode_chunk,
    decode_update,
    encode_update,
)

__all__ = [
    "CODEC_NAMES",
    "Codec",
    "DecodedUpdate",
    "EncodedUpdate",
    "chunk_bounds",
    "decode_chunk",
    "decode_update",
    "encode_update",
    "get_codec",
]
