"""Taking in the updates topic: what is kept, from where it is read again, and how little a flooder can have kept."""

from __future__ import annotations

from flobc.adapters.memory import MemoryPayloads
from flobc.composition.services.receiving import MAX_VARIANTS, Receiver
from flobc.ports.payloads import Payload
from flobc.ports.topics import Entry
from flobc.protocol.messages import compute_update_id
from flobc.runtime.transfer import build_records
from tests.support.hand_scheduler import HandScheduler
from tests.support.payloads import build_payload


def build(number: int, base: int = 0) -> Payload:
    """One of many payloads under one identity."""
    return build_payload(0, base, chunks=(f"chunk {number}".encode(), b"end"))


class Scene:
    """A receiver that wants updates of some bases, and what it hands on."""

    def __init__(self) -> None:
        self.bases = {0, 1}
        self.delivered: list[bytes] = []
        self.scheduler = HandScheduler()
        self.payloads = MemoryPayloads()
        self.receiver = Receiver(
            self.payloads,
            self.scheduler,
            lambda header: header.base_height in self.bases,
            lambda header: self.delivered.append(compute_update_id(header)),
            lambda join: None,
        )
        self.offset = 0

    def send(self, *payloads: Payload, chunks: bool = True) -> None:
        for payload in payloads:
            records = list(build_records(payload))
            for record in records if chunks else records[:1]:
                self.receiver.take([Entry(3, self.offset, record)])
                self.offset += 1
        self.scheduler.run()


def test_of_one_identity_two_headers_are_taken_in_and_no_more() -> None:
    """ROUND-2: two convict their trainer; each further one would only take room, on disk too."""
    scene = Scene()
    scene.send(*(build(number) for number in range(20)))
    assert len(scene.delivered) == MAX_VARIANTS
    assert len(scene.payloads.list_headers()) == MAX_VARIANTS
    scene.send(build(0, base=1))
    assert len(scene.delivered) == MAX_VARIANTS + 1, "another identity of the same trainer is none of it"


def test_what_is_of_use_is_read_again_after_a_restart_although_it_is_stored() -> None:
    """A power cut may damage what was not flushed, at all validators at once; Kafka has it."""
    scene = Scene()
    scene.send(build(0))
    scene.send(build(0, base=1))
    assert scene.receiver.get_positions() == {3: 0}
    scene.bases.remove(0)
    scene.receiver.forget_unwanted()
    assert scene.receiver.get_positions() == {3: 3}
    scene.bases.remove(1)
    scene.receiver.forget_unwanted()
    assert scene.receiver.get_positions() == {3: 6}


def test_an_update_that_never_becomes_whole_is_waited_for_while_it_is_of_use() -> None:
    scene = Scene()
    scene.send(build(0), chunks=False)
    assert scene.receiver.get_positions() == {3: 0}
    scene.bases.clear()
    scene.receiver.forget_unwanted()
    assert scene.receiver.get_positions() == {3: 1}
    assert scene.delivered == []
