"""What client and server agree on beside the .proto files: sizes, channel options, how a state is named."""

from __future__ import annotations

import dataclasses

from flobc.protocol.chain.block import EMPTY_BODY, Block
from flobc.protocol.encoding import encode

DIGEST_BYTES = 32
PIECE_BYTES = 512 * 1024
"""Bytes of a stream's piece, fixed by the protocol: a cut stream goes on at the next piece, at any server."""
MAX_MESSAGE_BYTES = 4 * 1024 * 1024
MAX_REQUEST_BYTES = 64 * 1024
"""A request holds a digest and some integers; nobody need buffer more for a stranger."""
MAX_CHUNK_BYTES = 1024 * 1024
"""Longest chunk of a payload: what a Kafka record takes by default."""
MAX_OBJECT_BYTES = 1 << 28
"""Longest state or genesis, and longest block that a server sends."""
MAX_BLOCK_BYTES = 1 << 26
"""Longest block that a reader takes: 10,000 updates with votes of 100 validators are 45 MB."""
MAX_MODEL_BYTES = 1 << 32
"""Longest model or payload: more than that would not fit a reader's memory."""

MAX_HEIGHT = (1 << 64) - 1

_KEEPALIVE_MS = 20_000
_KEEPALIVE_TIMEOUT_MS = 10_000

SERVER_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_receive_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_concurrent_streams", 128),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    # a follower may hear nothing for minutes and must still notice that the server is gone
    ("grpc.http2.min_ping_interval_without_data_ms", _KEEPALIVE_MS // 2),
    ("grpc.keepalive_permit_without_calls", 1),
    # two servers on one port would share its connections without a word
    ("grpc.so_reuseport", 0),
)
CLIENT_OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.max_send_message_length", MAX_REQUEST_BYTES),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", _KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.max_pings_without_data", 0),
    # calls are retried here, where the next address is known; the channel has only to try anew soon
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
    # settings come from the service, never from the environment's proxies
    ("grpc.enable_http_proxy", 0),
    ("grpc.use_local_subchannel_pool", 1),
)


def encode_certified(block: Block) -> bytes:
    """Return the canonical bytes of header and certificate: the block with an empty body."""
    return encode(dataclasses.replace(block, body=EMPTY_BODY))


def count_pieces(size_bytes: int) -> int:
    """Return how many pieces carry so many bytes."""
    return -(-size_bytes // PIECE_BYTES)
