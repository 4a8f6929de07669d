"""Payloads on the updates topic: whatever lies between their records, they come out whole, once, and alone."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

from hypothesis import given
from hypothesis import strategies as st

from flobc.ports.payloads import Payload
from flobc.protocol.merkle import leaf_hash, proofs_from_hashes
from flobc.protocol.messages import UpdateChunk, UpdateHeader, compute_update_id, decode_record, sign
from flobc.runtime.assembly import is_genuine
from flobc.runtime.transfer import MAX_FINISHED_UPDATES, MAX_OPEN_UPDATES, Assembler, build_records
from tests.support.dialogue import identity
from tests.support.payloads import build_payload

Piece = UpdateHeader | UpdateChunk
chunk_lists = st.lists(st.binary(max_size=6), min_size=1, max_size=6).map(tuple)


def read(payload: Payload) -> list[Piece]:
    pieces = [decode_record(record) for record in build_records(payload)]
    assert all(isinstance(piece, UpdateHeader | UpdateChunk) for piece in pieces)
    return pieces  # type: ignore[return-value]


def want_all(header: UpdateHeader) -> bool:
    return True


def is_empty(assembler: Assembler) -> bool:
    """Whether nothing unfinished is held: every header it opens would be a stranger's."""
    return not assembler._open and not assembler._trainers


def spoil(piece: UpdateChunk, how: int, junk: bytes) -> UpdateChunk:
    """A chunk that says of itself to be one of the same update, and is not."""
    changes: list[dict[str, object]] = [
        {"payload": piece.payload + b"\x00" + junk},
        {"index": piece.index + 1 + len(junk)},
        {"proof": (*piece.proof, leaf_hash(junk))},
        {"proof": tuple(leaf_hash(junk) for _ in piece.proof), "payload": junk + b"\x01" + piece.payload},
        {"index": 2**32 - 1, "payload": junk},
        {"update": leaf_hash(junk)},
    ]
    return dataclasses.replace(piece, **changes[how % len(changes)])  # type: ignore[arg-type]


@st.composite
def merged_streams(draw: st.DrawFn) -> tuple[list[Payload], list[Piece]]:
    """Several trainers' payloads in one stream: each one's own order is kept, all else is anybody's choice.

    Before and between come copies of earlier records, spoilt chunks, and chunks before their headers.
    """
    payloads = [
        build_payload(trainer, k=k, chunks=draw(chunk_lists))
        for trainer in range(draw(st.integers(1, 3)))
        for k in range(draw(st.integers(1, 3)))
    ]
    queues = [read(payload) for payload in payloads]
    everything = [piece for queue in queues for piece in queue]
    chunks = [piece for piece in everything if isinstance(piece, UpdateChunk)]
    stream: list[Piece] = []
    while any(queues):
        match draw(st.integers(0, 4)):
            case 3:
                stream.append(
                    spoil(draw(st.sampled_from(chunks)), draw(st.integers(0, 5)), draw(st.binary(max_size=3)))
                )
            case 4:
                stream.append(draw(st.sampled_from(everything)))
            case _:
                stream.append(draw(st.sampled_from([queue for queue in queues if queue])).pop(0))
    return payloads, stream


@given(chunk_lists)
def test_records_bring_a_payload_over_in_one_piece(chunks: tuple[bytes, ...]) -> None:
    payload = build_payload(chunks=chunks)
    assembler = Assembler(want_all)
    *early, last = [assembler.take(piece) for piece in read(payload)]
    assert early == [None] * len(early)
    assert last == payload
    assert is_empty(assembler)


@given(merged_streams())
def test_every_payload_comes_out_once_and_nothing_is_left(drawn: tuple[list[Payload], list[Piece]]) -> None:
    """WIRE-12: copies, garbage, wrong proofs, wrong indexes and chunks ahead of their header change nothing."""
    payloads, stream = drawn
    assembler = Assembler(want_all)
    found = [payload for payload in map(assembler.take, stream) if payload is not None]
    assert sorted(map(repr, found)) == sorted(map(repr, payloads))
    assert all(map(is_genuine, found))
    assert is_empty(assembler)


@given(merged_streams(), st.randoms(use_true_random=False))
def test_in_no_order_at_all_nothing_false_comes_out(drawn: tuple[list[Payload], list[Piece]], random) -> None:
    """Chunks before their header are lost, and sent again: what then comes out is each payload once."""
    payloads, stream = drawn
    random.shuffle(stream)
    assembler = Assembler(want_all)
    again = [piece for payload in payloads for piece in read(payload)]
    found = [payload for payload in map(assembler.take, stream + again) if payload is not None]
    assert sorted(map(repr, found)) == sorted(map(repr, payloads))
    assert is_empty(assembler)


@given(chunk_lists, st.integers(-3, 3))
def test_a_size_that_the_header_does_not_sign_never_comes_out(chunks: tuple[bytes, ...], wrong: int) -> None:
    """A trainer may sign nonsense about its own payload; it gets nothing for it, and no room for good."""
    payload = build_payload(chunks=chunks)
    size_bytes = max(0, payload.header.size_bytes + wrong)
    header = sign(dataclasses.replace(payload.header, size_bytes=size_bytes), identity("trainer", 0))
    assembler = Assembler(want_all)
    found = [assembler.take(piece) for piece in read(Payload(header, chunks))]
    assert any(found) == (size_bytes == payload.header.size_bytes)
    assembler.keep_only(lambda _: False)
    assert is_empty(assembler)


def test_a_trainer_that_finishes_nothing_holds_a_few_updates_and_nobody_elses() -> None:
    assembler = Assembler(want_all)
    other = build_payload(trainer=1, chunks=(b"one", b"two"))
    other_pieces = read(other)
    assert [assembler.take(piece) for piece in other_pieces[:2]] == [None, None]
    flood = [build_payload(trainer=0, k=k, chunks=(b"ab", b"c")) for k in range(5 * MAX_OPEN_UPDATES)]
    for payload in flood:
        for piece in read(payload)[:2]:
            assert assembler.take(piece) is None
        assert len(assembler._trainers) <= MAX_OPEN_UPDATES + 1
    held = [payload for payload in flood if assembler.take(read(payload)[2]) is not None]
    assert held == flood[-MAX_OPEN_UPDATES:]
    assert assembler.take(other_pieces[2]) == other
    assert is_empty(assembler)


def test_what_is_known_of_finished_updates_is_bounded() -> None:
    assembler = Assembler(want_all)
    for k in range(2 * MAX_FINISHED_UPDATES):
        for piece in read(build_payload(k=k)):
            assembler.take(piece)
    assert sum(map(len, assembler._finished.values())) == MAX_FINISHED_UPDATES
    assert is_empty(assembler)


def test_what_nobody_wants_is_not_held() -> None:
    wanted: Callable[[UpdateHeader], bool] = lambda header: header.k == 1  # noqa: E731
    assembler = Assembler(wanted)
    refused, taken = build_payload(k=0), build_payload(k=1)
    assert not any(assembler.take(piece) for piece in read(refused))
    assert is_empty(assembler)
    for piece in read(taken)[:-1]:
        assembler.take(piece)
    assembler.keep_only(want_all)
    assert list(assembler._trainers) == [compute_update_id(taken.header)]
    assembler.keep_only(lambda header: header.k != 1)
    assert is_empty(assembler)
    assert assembler.take(read(taken)[-1]) is None


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40))
def test_each_proof_of_a_payload_is_as_long_as_its_tree_is_high(chunks: list[bytes]) -> None:
    """WIRE-14: the cost of telling genuine from false stays logarithmic."""
    hashes = [leaf_hash(chunk) for chunk in chunks]
    height = (len(chunks) - 1).bit_length()
    assert all(len(proof) <= height for proof in proofs_from_hashes(hashes))


@given(st.lists(st.binary(max_size=4), min_size=1, max_size=40))
def test_hashes_that_are_known_already_change_no_record(chunks: list[bytes]) -> None:
    """WIRE-12"""
    payload = build_payload(chunks=tuple(chunks))
    known = dataclasses.replace(payload, leaf_hashes=tuple(leaf_hash(chunk) for chunk in chunks))
    assert list(build_records(known)) == list(build_records(payload))
