"""How payloads, models and blocks stand in files: the same names and bytes in a run's directory and in an export."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from flobc.errors import DataError, RemoteProtocolError
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Block
from flobc.protocol.encoding import decode
from flobc.protocol.messages import UpdateHeader, decode_record, encode_record


def get_block_name(height: int) -> str:
    """Return the name of a block's file."""
    return f"{height:08d}.block"


def get_payload_name(update: bytes) -> str:
    """Return the name of a payload's file."""
    return f"{update.hex()}.payload"


def get_model_name(digest: bytes) -> str:
    """Return the name of a model's file."""
    return f"{digest.hex()}.model"


def get_state_name(digest: bytes) -> str:
    """Return the name of a core state's file."""
    return f"{digest.hex()}.state"


def encode_payload(payload: Payload) -> list[bytes]:
    """Return the pieces of a payload's file: the header's record and the chunks, each behind its length."""
    pieces: list[bytes] = []
    for part in (encode_record(payload.header), *payload.chunks):
        pieces += [len(part).to_bytes(4, "big"), part]
    return pieces


def decode_payload(data: bytes, name: object) -> Payload:
    """Return the payload in a file's bytes. **Raises** DataError, naming the file, when they are damaged."""
    parts = _split(data, name)
    return Payload(decode_header(parts[0] if parts else b"", name), tuple(parts[1:]))


def decode_header(data: bytes, name: object) -> UpdateHeader:
    """Return the update header at the start of a payload's file. **Raises** DataError when it is none."""
    try:
        header = decode_record(data)
    except RemoteProtocolError as error:
        raise DataError(f"The payload file {name} is damaged ({error}); fetch it again.") from error
    if not isinstance(header, UpdateHeader):
        raise DataError(f"The payload file {name} does not begin with an update header; fetch it again.")
    return header


def decode_block(data: bytes, name: object) -> Block:
    """Return the block in a file's bytes. **Raises** DataError, naming the file, when they are damaged."""
    try:
        return decode(Block, data)
    except RemoteProtocolError as error:
        raise DataError(f"The block file {name} is damaged ({error}); rebuild it from the log.") from error


def encode_model(model: NDArray[np.int32]) -> memoryview:
    """Return a model's file: its coordinates as little-endian int32."""
    return model.astype("<i4", order="C", copy=False).data.cast("B")


def decode_model(data: bytes, name: object) -> NDArray[np.int32]:
    """Return the model in a file's bytes. **Raises** DataError, naming the file, when one is cut short."""
    if len(data) % 4:
        raise DataError(f"The model file {name} ends in the middle of a number; rebuild it from the payloads.")
    return np.frombuffer(data, dtype="<i4").astype(np.int32)


def _split(data: bytes, name: object) -> list[bytes]:
    parts, offset = [], 0
    while offset < len(data):
        length = int.from_bytes(data[offset : offset + 4], "big")
        part = data[offset + 4 : offset + 4 + length]
        if len(part) < length or offset + 4 > len(data):
            raise DataError(f"The payload file {name} ends in the middle of a chunk; fetch it again.")
        parts.append(part)
        offset += 4 + length
    return parts
