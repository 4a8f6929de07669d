"""What the prototype let through or choked on: each forgery costs its sender at most, and never the chain."""

import dataclasses
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest

from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import Reason
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Fault
from flobc.protocol.trust.params import INITIAL_TRUST, TrustParams
from tests.support.dialogue import identity
from tests.support.embedded import World, build_settings
from tests.support.forgers import ForgedRun, Forger, forge_chunks, forge_header, resign

FORGER = 3
HONEST = (0, 1, 2)
ROUNDS = 3
LARGE = 1 << 40


def fill(chunks: tuple[bytes, ...], value: float) -> Sequence[bytes]:
    """The first number of the first chunk replaced, in ``float32``."""
    return [struct.pack("<f", value) + chunks[0][4:], *chunks[1:]]


def set_exponent(chunks: tuple[bytes, ...], exponent: int) -> Sequence[bytes]:
    """Another exponent for the last block of the last chunk: its byte comes last in the block codecs."""
    return [*chunks[:-1], chunks[-1][:-1] + bytes([exponent])]


FAULTS: dict[str, tuple[str, Forger, Fault]] = {
    "NaN": ("float32", forge_chunks(FORGER, lambda chunks: fill(chunks, float("nan"))), Fault.NON_FINITE),
    "infinity": ("float32", forge_chunks(FORGER, lambda chunks: fill(chunks, float("-inf"))), Fault.NON_FINITE),
    "beyond the grid": ("float32", forge_chunks(FORGER, lambda chunks: fill(chunks, 64.0)), Fault.OUT_OF_RANGE),
    "chunk too short": ("int16", forge_chunks(FORGER, lambda chunks: (*chunks[:-1], b"\0")), Fault.BAD_LENGTH),
    "chunk too long": ("int16", forge_chunks(FORGER, lambda chunks: (*chunks[:-1], chunks[-1] * 2)), Fault.BAD_LENGTH),
    "chunk empty": ("int8", forge_chunks(FORGER, lambda chunks: (*chunks[:-1], b"")), Fault.BAD_LENGTH),
    "exponent too large": ("int16", forge_chunks(FORGER, lambda chunks: set_exponent(chunks, 16)), Fault.BAD_ENCODING),
    "exponent of 255": ("int8", forge_chunks(FORGER, lambda chunks: set_exponent(chunks, 255)), Fault.BAD_ENCODING),
    "norm too small": ("int16", forge_header(FORGER, lambda h: {"norm": h.norm - 1}), Fault.NORM_MISMATCH),
    "norm of nothing": ("int8", forge_header(FORGER, lambda h: {"norm": 0}), Fault.NORM_MISMATCH),
}


def require_honest_unharmed(world: World, rounds: int = ROUNDS) -> None:
    """The chain went on, every honest update entered its model, and no honest trust fell to a penalty."""
    report = world.verify()
    assert report.height == rounds
    assert report.rejected_records == 0
    trust = world.run(rounds).core.trust.entries
    for index in HONEST:
        decisions = world.get_decisions(index)
        assert [item.base_height for item in decisions] == list(range(rounds))
        assert all(item.reason is Reason.ACCEPTED and item.weight for item in decisions)
        entry = trust[world.trainer_key(index)]
        assert entry.trust > INITIAL_TRUST // 2
        assert entry.probation == 0


def forge(forger: Forger, **params: Any) -> World:
    """A bsp chain of three rounds, in whose first the last trainer forges."""
    world = World(build_settings("bsp", params=params))
    world.run(ROUNDS, ForgedRun, forgers={FORGER: forger})
    return world


def get_trust(world: World, index: int) -> int:
    return world.run().core.trust.entries[world.trainer_key(index)].trust


@pytest.mark.parametrize(("codec", "forger", "fault"), FAULTS.values(), ids=FAULTS.keys())
def test_invalid_payload_is_a_fault_of_its_trainer_alone(codec: str, forger: Forger, fault: Fault) -> None:
    """ROUND-8: every validator names the same fault, the trainer's trust falls to the floor."""
    world = forge(forger, codec=codec)
    decisions = world.get_decisions(FORGER)
    assert [(item.reason, item.fault, item.weight) for item in decisions] == [(Reason.FAULT, fault, 0)] * ROUNDS
    for block in world.blocks:
        votes = dict(zip([item.trainer for item in block.body.decisions], block.body.votes, strict=True))
        assert {vote.fault for vote in votes[world.trainer_key(FORGER)].votes} == {fault}
    assert get_trust(world, FORGER) == TrustParams().floor
    require_honest_unharmed(world)


def scale_first(payload: Payload, signer: Identity) -> Payload:
    """The same update with its first coordinate at 2^28 grid units, its norm stated truly."""
    values = [np.frombuffer(chunk, "<f4").copy() for chunk in payload.chunks]
    values[0][0] = 16.0
    units = [int(value) for value in np.concatenate(values).astype(np.float64) * 2**24]
    norm = int(np.sqrt(np.float64(sum(unit * unit for unit in units))))
    return resign(payload, signer, [value.tobytes() for value in values], norm=norm)


def test_invalid_huge_update_breaks_the_norm_bound() -> None:
    """ROUND-7: what is far longer than the last block's median is a fault, before anybody scores it."""
    world = forge(lambda payload, run: [scale_first(payload, run.get_identity(FORGER))], codec="float32")
    first, *others = world.get_decisions(FORGER)
    assert first.reason in (Reason.LOW_SCORE, Reason.ACCEPTED)  # no block yet that could bound the first round
    assert [item.fault for item in others] == [Fault.NORM_BOUND] * (ROUNDS - 1)
    assert all(item.weight == 0 for item in others)


def test_invalid_norm_cap_bounds_the_first_round() -> None:
    """ROUND-7: a cap in genesis bounds updates before there is a median."""
    world = World(build_settings("bsp"))
    world.run()
    cap = 2 * max(header.norm for header in world.get_block(1).body.headers)
    capped = forge(lambda payload, run: [scale_first(payload, run.get_identity(FORGER))], codec="float32", norm_cap=cap)
    assert [item.fault for item in capped.get_decisions(FORGER)] == [Fault.NORM_BOUND] * ROUNDS
    require_honest_unharmed(capped)


def garble(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    """Chunks that the signed header does not vouch for."""
    return [Payload(payload.header, (b"\1" * len(payload.chunks[0]), *payload.chunks[1:]))]


def omit_chunk(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    return [Payload(payload.header, payload.chunks[:-1])]


def sign_fewer_chunks(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    return [resign(payload, run.get_identity(FORGER), payload.chunks[:-1])]


def sign_more_chunks(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    return [resign(payload, run.get_identity(FORGER), (*payload.chunks, b"\0"))]


def sign_larger_chunks(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    """More bytes than any codec needs for the model."""
    return [resign(payload, run.get_identity(FORGER), [chunk * 3 for chunk in payload.chunks])]


def change_base(payload: Payload, base_height: int, run: ForgedRun) -> Sequence[Payload]:
    return [resign(payload, run.get_identity(FORGER), payload.chunks, base_height=base_height)]


def sign_by_stranger(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    """A complete payload of a key that the chain never admitted."""
    return [resign(payload, identity("stranger"))]


def break_signature(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    return [Payload(dataclasses.replace(payload.header, norm=payload.header.norm + 1), payload.chunks)]


def name_other_chain(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    return [resign(payload, run.get_identity(FORGER), chain=bytes(32))]


IGNORED: dict[str, Forger] = {
    "chunks that do not match the root": garble,
    "a chunk that never comes": omit_chunk,
    "fewer chunks than the model has, signed": sign_fewer_chunks,
    "more chunks than the model has, signed": sign_more_chunks,
    "more bytes than the model can take, signed": sign_larger_chunks,
    "a base that is too old": lambda payload, run: (
        change_base(payload, max(0, payload.header.base_height - 1), run) if payload.header.base_height else ()
    ),
    "a base that no chain has": lambda payload, run: change_base(payload, LARGE, run),
    "a key that nobody admitted": sign_by_stranger,
    "a signature that does not verify": break_signature,
    "another chain": name_other_chain,
    "another codec": forge_header(FORGER, lambda header: {"codec": "int8"}),
    "a k beyond the quota": forge_header(FORGER, lambda header: {"k": 1}),
    "no examples": forge_header(FORGER, lambda header: {"num_examples": 0}),
}


@pytest.mark.parametrize("forger", IGNORED.values(), ids=IGNORED.keys())
def test_invalid_payload_that_proves_nothing_is_ignored(forger: Forger) -> None:
    """ROUND-1 to ROUND-4: no vote, no penalty, for anyone could have sent it; the deadline closes the round."""
    world = forge(forger)
    assert world.get_decisions(FORGER) == []
    assert [round.closing for round in world.recorder.rounds] == ["deadline"] * ROUNDS
    assert get_trust(world, FORGER) == INITIAL_TRUST
    require_honest_unharmed(world)


def drop_signature(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    """The same update by its id, which leaves the signature out."""
    return [Payload(dataclasses.replace(payload.header, signature=bytes(64)), payload.chunks)]


@pytest.mark.parametrize("spoil", [garble, omit_chunk, drop_signature])
def test_what_others_send_under_a_header_does_not_replace_the_real_payload(spoil: Forger) -> None:
    """ROUND-4: a payload that its trainer does not vouch for harms nobody, whoever's header it comes with."""

    def spoil_everybody(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
        base = payload.header.base_height
        seen = [payload, *(item for item in run.published if item.header.base_height == base)]
        return [*spoil(payload, run), payload, *(item for known in seen for item in spoil(known, run))]

    world = World(build_settings("bsp"))
    world.run(ROUNDS, ForgedRun, forgers=dict.fromkeys(range(4), spoil_everybody))
    require_honest_unharmed(world)
    assert all(item.reason is Reason.ACCEPTED for item in world.get_decisions(FORGER))


@pytest.mark.parametrize("scheme", ["bsp", "ssp"])
def test_a_copied_payload_weighs_nothing_a_second_time(scheme: str) -> None:
    """ROUND-11: one update enters the model once; a copy is worth neither weight nor credit nor penalty."""
    copied = []

    def copy_other(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
        """The first payload that somebody else published for this base, signed as one's own."""
        base = payload.header.base_height
        others = [item for item in run.published if item.header.base_height == base]
        copied.extend(others[:1])
        return [resign(item, run.get_identity(FORGER), item.chunks) for item in others[:1]] or [payload]

    world = World(build_settings(scheme))
    world.run(ROUNDS, ForgedRun, forgers={FORGER: copy_other})
    duplicates = 0
    for block in world.blocks:
        roots = [header.payload_root for header in block.body.headers]
        used = [root for root, item in zip(roots, block.body.decisions, strict=True) if item.weight]
        assert len(used) == len(set(used))
        duplicates += sum(item.reason is Reason.DUPLICATE for item in block.body.decisions)
    assert 0 < duplicates <= len(copied)
    assert get_trust(world, FORGER) >= INITIAL_TRUST * 9 // 10
    world.verify()


def replay(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
    """The forger's first payload ever, under a header for the new base."""
    mine = [item for item in run.published if item.header.trainer == payload.header.trainer]
    if not mine:
        return [payload]
    base = payload.header.base_height
    return [resign(mine[0], run.get_identity(FORGER), mine[0].chunks, base_height=base, k=payload.header.k)]


@pytest.mark.parametrize("scheme", ["ssp", "bap"])
def test_a_replayed_payload_is_a_duplicate_within_the_window(scheme: str) -> None:
    """ROUND-11: a new header does not make an old payload new."""
    world = World(build_settings(scheme))
    world.run(ROUNDS, ForgedRun, forgers={FORGER: replay})
    reasons = [item.reason for item in world.get_decisions(FORGER)]
    assert reasons.count(Reason.ACCEPTED) <= 1
    assert set(reasons) <= {Reason.ACCEPTED, Reason.DUPLICATE}
    assert Reason.DUPLICATE in reasons
    assert get_trust(world, FORGER) >= INITIAL_TRUST * 9 // 10
    world.verify()


def test_a_replayed_payload_beyond_the_window_is_judged_by_its_score() -> None:
    """Under bsp nothing older than the head is remembered; what an old update does to the new model decides."""
    world = forge(replay)
    replays = world.get_decisions(FORGER)[1:]
    assert all(item.reason in (Reason.ACCEPTED, Reason.LOW_SCORE) for item in replays)
    fresh = [item.score for block in world.blocks[1:] for item in block.body.decisions]
    assert max(item.score for item in replays) <= max(fresh)
    require_honest_unharmed(world)


def test_resent_payloads_change_nothing() -> None:
    """ROUND-2: the same signed bytes again are the same update, however often they are sent."""
    plain = World(build_settings("bsp"))
    plain.run()
    twice = World(build_settings("bsp"))
    twice.run(ROUNDS, ForgedRun, forgers=dict.fromkeys(range(4), lambda payload, run: [payload] * 3))
    assert [block.header.model for block in twice.blocks] == [block.header.model for block in plain.blocks]
    require_honest_unharmed(twice)


def test_two_headers_for_one_identity_are_evidence() -> None:
    """CHAIN-12: the equivocating trainer is convicted, nobody else."""

    def equivocate(payload: Payload, run: ForgedRun) -> Sequence[Payload]:
        return [payload, resign(payload, run.get_identity(FORGER), payload.chunks, num_examples=7)]

    world = forge(equivocate)
    evidence = [len(block.body.evidence) for block in world.blocks]
    assert sum(evidence) >= 1
    assert get_trust(world, FORGER) == TrustParams().floor
    require_honest_unharmed(world)
