"""What a stranger with access to Kafka may write: anything but a good record."""

from __future__ import annotations

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kafka import KafkaProducer  # type: ignore[import-untyped]

from flobc.adapters.kafka import KafkaTopic
from flobc.adapters.kafka.settings import MAX_RECORD_BYTES, RECORD_OVERHEAD_BYTES
from flobc.protocol.identity import Identity
from flobc.protocol.messages import UpdateChunk, UpdateHeader, encode_record, sign
from tests.support.topics import keep_trying

_KEY = b"stranger"
_OVERHEAD_BYTES = 61 + 26
"""What Kafka puts around a record at most: its batch's frame and its own."""
LARGEST_BYTES = MAX_RECORD_BYTES + RECORD_OVERHEAD_BYTES - _OVERHEAD_BYTES - len(_KEY)
"""The largest value that a stock broker takes under this key; our own client stops a little before."""
_TYPES = (1, 2, 3, 4, 5, 6, 16, 17)
"""The types that a record may begin with (WIRE-10): what follows is read as such a message."""


def inject(address: str, topic: str, values: Iterable[bytes | None], key: bytes = _KEY) -> int:
    """Append values as they are, as our own client would not; how many. All are acknowledged."""
    producer = KafkaProducer(
        bootstrap_servers=[address], acks="all", batch_size=LARGEST_BYTES, max_request_size=2 * LARGEST_BYTES
    )
    try:
        sent = [producer.send(topic, value=value, key=key) for value in values]
        for future in sent:
            future.get(60)
    finally:
        producer.close()
    return len(sent)


def read_real(topic: KafkaTopic, count: int) -> list[bytes]:
    """The first ``count`` records of a topic, or all that come at once with the first."""
    topic.seek({})
    found: list[bytes] = []
    while not found:
        found = [entry.value for entry in keep_trying(lambda: topic.read(1))]
    return found[:count]


def hurt(records: Sequence[bytes]) -> list[bytes]:
    """Records again, cut short, too long, and with a bit of their signature wrong."""
    cut = [record[:end] for record in records for end in (1, len(record) // 2, len(record) - 1)]
    longer = [record + b"\0" for record in records] + [record + record for record in records]
    flipped = [bytes([*record[:-1], record[-1] ^ 1]) for record in records]
    return [*records, *records, *cut, *longer, *flipped]


def build_nonsense(seed: int) -> Iterator[bytes | None]:
    """No value, an empty one, and bytes of every size up to the largest, some of which begin as a record does."""
    rng = random.Random(seed)
    yield None
    yield b""
    for size in (*(1 << power for power in range(LARGEST_BYTES.bit_length())), LARGEST_BYTES):
        yield bytes(size)
        yield b"\xff" * size
        yield bytes([rng.choice(_TYPES)]) + rng.randbytes(size - 1)


def build_flood(real: UpdateHeader, count: int, identity: Identity | None, first_base: int) -> Iterator[bytes]:
    """Headers like a real one, each of another payload, and a chunk of each that does not match it.

    They come from the heights on that are of use now, signed by ``identity`` or by nobody.
    """
    rng = random.Random(count)
    for number in range(count):
        header = replace(real, base_height=first_base + number % 16, payload_root=rng.randbytes(32))
        header = replace(header, signature=rng.randbytes(64)) if identity is None else sign(header, identity)
        yield encode_record(header)
        if number % 8 == 0:
            yield encode_record(UpdateChunk(rng.randbytes(32), number % real.num_chunks, (), rng.randbytes(4_000)))
