"""A trainer believes a quorum of the genesis validators and nobody else, and outlives whatever its ledger says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from flobc.adapters.memory import MemoryBlocks, MemoryLedgerPeer, MemoryModels, MemoryStates
from flobc.errors import DataError, FlobcError, RemoteProtocolError, TransientError, VerificationError
from flobc.protocol.chain.block import EMPTY_BODY, Block, Header, compute_header_digest
from flobc.protocol.consensus.state import ChainState, build_initial_state, decode_state
from flobc.protocol.encoding import encode
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Seal, encode_record, sign
from flobc.protocol.roles.light_client import LightClient, verify_headers
from flobc.runtime import light_follower
from flobc.runtime.light_follower import LightFollower
from tests.support.dialogue import Chain, digest, fingerprint, identity
from tests.support.hand_scheduler import HandScheduler

ROUNDS = 3


def play() -> tuple[Chain, list[bytes]]:
    """A chain, and the encoded core state that each block commits to."""
    chain, states = Chain(), []
    for _ in range(ROUNDS):
        chain.close_round()
        states.append(encode(chain.state.core))
        chain.commit()
    return chain, states


CHAIN, STATES = play()
OTHER = Chain(salt="other")
OTHER.play_round()


@pytest.fixture(autouse=True)
def short_retries(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_follower, "RETRY_S", 0.001)


def build_stores() -> tuple[MemoryBlocks, MemoryStates]:
    blocks, states = MemoryBlocks(build_initial_state(CHAIN.genesis).head_digest), MemoryStates()
    for block, state in zip(CHAIN.blocks, STATES, strict=True):
        blocks.append(block)
        states.put(block.header.state, state)
    return blocks, states


class Ledger(MemoryLedgerPeer):
    """An honest ledger that says, in each ``follow`` and ``get_state``, first what the story holds for it.

    It has no block yet when it is asked for its newest, so it is followed from the genesis.
    """

    def __init__(self, stories: list[Callable[[Block], Block]], states: list[Callable[[bytes], bytes | None]]) -> None:
        blocks, held = build_stores()
        super().__init__(CHAIN.genesis, blocks, held, MemoryModels())
        self.stories, self.states = stories, states

    def get_head(self) -> Block | None:
        return None

    def follow(self, height: int) -> Iterator[Block]:
        for block in super().follow(height):
            yield self.stories.pop(0)(block) if self.stories else block

    def get_state(self, digest: bytes) -> bytes | None:
        data = super().get_state(digest)
        return self.states.pop(0)(data) if self.states and data is not None else data


class Trainer:
    """A follower of a ledger, and the states that it told."""

    def __init__(self, ledger: MemoryLedgerPeer) -> None:
        self.ledger = ledger
        self.scheduler = HandScheduler()
        self.follower = LightFollower(CHAIN.genesis, ledger, self.scheduler)
        self.told: list[ChainState] = []
        self.follower.on_block = self.told.append

    def live(self, blocks: int = ROUNDS) -> None:
        """Follow until so many blocks were told."""
        self.follower.start()
        try:
            assert self.scheduler.run_until(lambda: len(self.told) >= blocks), "no further block came"
        finally:
            self.ledger.close()
            self.follower.stop(10)
        self.scheduler.run()
        assert not self.follower._thread.is_alive()

    def require_truth(self, since: int = 1) -> None:
        """Every block from this height was told once, in its order, each with the state that the log makes."""
        assert [state.head for state in self.told] == [
            dataclasses.replace(block, body=EMPTY_BODY) for block in CHAIN.blocks[since - 1 :]
        ]
        assert [encode(state.core) for state in self.told] == STATES[since - 1 :]


def raising(error: Exception) -> Callable[[object], None]:
    def fail(_: object) -> None:
        raise error

    return fail


def seal_with(header: Header, signers: list[Identity]) -> tuple[Seal, ...]:
    value = compute_header_digest(header)
    seals = [sign(Seal(header.chain, key.public_key, header.height, value), key) for key in signers]
    return tuple(sorted(seals, key=lambda seal: seal.validator))


def forge(block: Block, **changes: object) -> Block:
    """Another header under the certificate of this one."""
    return dataclasses.replace(block, header=dataclasses.replace(block.header, **changes))  # type: ignore[arg-type]


def forge_with_strangers(block: Block) -> Block:
    header = dataclasses.replace(block.header, model=digest("forged"))
    return dataclasses.replace(
        block, header=header, certificate=seal_with(header, [identity("stranger", i) for i in range(3)])
    )


def forge_with_too_few(block: Block) -> Block:
    header = dataclasses.replace(block.header, model=digest("forged"))
    return dataclasses.replace(block, header=header, certificate=seal_with(header, list(CHAIN.validators[:2])))


def repeat_a_seal(block: Block) -> Block:
    header = dataclasses.replace(block.header, model=digest("forged"))
    signers = [CHAIN.validators[0], CHAIN.validators[0], CHAIN.validators[1]]
    return dataclasses.replace(block, header=header, certificate=seal_with(header, signers))


def break_a_signature(block: Block) -> Block:
    first, *others = block.certificate
    return dataclasses.replace(
        block, certificate=(dataclasses.replace(first, signature=bytes(len(first.signature))), *others)
    )


FORGERIES: dict[str, Callable[[Block], Block]] = {
    "another model": lambda block: forge(block, model=digest("forged")),
    "another state": lambda block: forge(block, state=digest("forged")),
    "another height": lambda block: forge(block, height=block.height + 1),
    "another parent": lambda block: forge(block, parent=digest("forged")),
    "another chain": lambda _: OTHER.blocks[0],
    "the wrong place": lambda block: CHAIN.blocks[block.height % ROUNDS],
    "no certificate": lambda block: dataclasses.replace(block, certificate=()),
    "one seal less": lambda block: dataclasses.replace(block, certificate=block.certificate[1:]),
    "seals in disorder": lambda block: dataclasses.replace(block, certificate=block.certificate[::-1]),
    "a broken signature": break_a_signature,
    "strangers' seals": forge_with_strangers,
    "two of three seals": forge_with_too_few,
    "one seal twice": repeat_a_seal,
}
LIES: dict[str, Callable[[bytes], bytes | None]] = {
    "none": lambda _: None,
    "empty": lambda _: b"",
    "cut": lambda data: data[:-1],
    "longer": lambda data: data + b"\0",
    "of another block": lambda data: STATES[(STATES.index(data) + 1) % ROUNDS],
    "bent": lambda data: data[:40] + bytes([data[40] ^ 1]) + data[41:],
}
TROUBLE: list[FlobcError] = [
    TransientError("the ledger is away", 0.001),
    DataError("what the ledger holds is damaged; ask another one"),
    RemoteProtocolError("WIRE-1", "a block", "something else"),
    VerificationError(1, "CHAIN-8", "the ledger lies"),
]


def test_follows_from_the_genesis() -> None:
    trainer = Trainer(Ledger([], []))
    assert trainer.follower.state.height == 0
    assert fingerprint(trainer.follower.state) == fingerprint(build_initial_state(CHAIN.genesis))
    trainer.live()
    trainer.require_truth()
    assert trainer.follower.state is trainer.told[-1]


def test_its_state_moves_on_the_loop_alone() -> None:
    trainer = Trainer(Ledger([], []))
    before = trainer.follower.state
    trainer.follower.start()
    assert trainer.scheduler.run_until(lambda: not trainer.scheduler._ready.empty())
    assert trainer.follower.state is before
    assert trainer.scheduler.run_until(lambda: bool(trainer.told))
    trainer.ledger.close()
    trainer.follower.stop(10)


@pytest.mark.parametrize("height", range(ROUNDS))
@pytest.mark.parametrize("name", FORGERIES)
def test_a_forged_block_is_never_told_and_the_genuine_one_is_taken_later(name: str, height: int) -> None:
    """CHAIN-6, CHAIN-8: whatever of header and certificate is false, the head stays."""
    genuine: list[Callable[[Block], Block]] = [lambda block: block] * height
    ledger = Ledger([*genuine, FORGERIES[name]], [])
    trainer = Trainer(ledger)
    trainer.live()
    assert ledger.stories == []
    trainer.require_truth()


@pytest.mark.parametrize("height", range(ROUNDS))
@pytest.mark.parametrize("name", LIES)
def test_a_false_state_is_never_told(name: str, height: int) -> None:
    ledger = Ledger([], [*[lambda data: data] * height, LIES[name]])
    trainer = Trainer(ledger)
    trainer.live()
    assert ledger.states == []
    trainer.require_truth()


@pytest.mark.parametrize("error", TROUBLE, ids=lambda error: type(error).__name__)
def test_outlives_every_error_of_its_ledger(error: FlobcError) -> None:
    ledger = Ledger([raising(error), lambda block: block, raising(error)], [raising(error), raising(error)])  # type: ignore[list-item]
    trainer = Trainer(ledger)
    trainer.live()
    assert ledger.stories == ledger.states == []
    trainer.require_truth()


@settings(max_examples=40)
@given(
    st.lists(st.sampled_from([None, *FORGERIES.values(), *map(raising, TROUBLE)]), max_size=8),
    st.lists(st.sampled_from([None, *LIES.values(), *map(raising, TROUBLE)]), max_size=8),
)
def test_any_story_ends_with_the_true_chain(stories: list, states: list) -> None:
    ledger = Ledger(
        [story or (lambda block: block) for story in stories], [lie or (lambda data: data) for lie in states]
    )
    trainer = Trainer(ledger)
    trainer.live()
    trainer.require_truth()


class ShortStreams(Ledger):
    """A ledger whose streams end by themselves, which the port forbids and a proxy between may do."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.opened: list[int] = []

    def follow(self, height: int) -> Iterator[Block]:
        self.opened.append(height)
        if len(self.opened) % 2:
            yield next(super().follow(height))


def test_goes_on_after_a_stream_that_ended() -> None:
    ledger = ShortStreams()
    trainer = Trainer(ledger)
    trainer.live()
    trainer.require_truth()
    assert ledger.opened[:5] == [1, 2, 2, 3, 3]


def test_an_ended_stream_is_not_asked_for_again_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A ledger that ends every stream must not be asked as fast as this machine can."""
    monkeypatch.setattr(light_follower, "RETRY_S", 60.0)
    ledger = ShortStreams()
    trainer = Trainer(ledger)
    trainer.live(blocks=1)
    assert ledger.opened == [1]


def test_a_stop_does_not_wait_for_the_next_try(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(light_follower, "RETRY_S", 60.0)
    trainer = Trainer(Ledger([lambda block: block, raising(TROUBLE[0])], []))  # type: ignore[list-item]
    trainer.live(blocks=1)
    assert len(trainer.told) == 1


def test_what_a_trainer_has_to_say_goes_another_way_than_the_log() -> None:
    follower = Trainer(Ledger([], [])).follower
    seal = CHAIN.blocks[0].certificate[0]
    said: list[bytes] = []
    follower.on_publish = said.append
    before = follower.state
    assert not follower.is_waiting(type(seal))
    assert not follower.publish(encode_record(seal))
    assert said == [encode_record(seal)]
    assert follower.state is before


@given(st.integers(0, ROUNDS - 1), st.data())
def test_a_state_with_any_bit_changed_is_refused(index: int, data: st.DataObject) -> None:
    """CHAIN-8: the digest is checked before anything is read."""
    state, wanted = bytearray(STATES[index]), CHAIN.blocks[index].header.state
    assert encode(decode_state(bytes(state), wanted)) == state
    state[data.draw(st.integers(0, len(state) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises(RemoteProtocolError) as caught:
        decode_state(bytes(state), wanted)
    assert caught.value.rule == "CHAIN-8"


@pytest.mark.parametrize("name", FORGERIES)
def test_the_client_keeps_its_head_when_it_refuses(name: str) -> None:
    client = LightClient(CHAIN.genesis)
    client.accept(CHAIN.blocks[0].header, CHAIN.blocks[0].certificate)
    forged = FORGERIES[name](CHAIN.blocks[1])
    with pytest.raises(VerificationError) as caught:
        client.accept(forged.header, forged.certificate)
    assert caught.value.height in (2, forged.height)
    assert (client.head, client.head_digest) == (CHAIN.blocks[0].header, CHAIN.blocks[1].header.parent)
    client.accept(CHAIN.blocks[1].header, CHAIN.blocks[1].certificate)
    assert client.head == CHAIN.blocks[1].header


@pytest.mark.parametrize(("height", "name"), [(1, "another chain"), (1, "the wrong place"), (3, "no certificate")])
def test_the_client_jumps_to_no_false_and_to_no_older_block(height: int, name: str) -> None:
    client = LightClient(CHAIN.genesis)
    client.jump(CHAIN.blocks[1].header, CHAIN.blocks[1].certificate)
    before = client.head
    target = CHAIN.blocks[height - 1] if name == "the wrong place" else FORGERIES[name](CHAIN.blocks[height - 1])
    with pytest.raises(VerificationError):
        client.jump(target.header, target.certificate)
    assert client.head == before
    client.accept(CHAIN.blocks[2].header, CHAIN.blocks[2].certificate)
    assert client.head == CHAIN.blocks[2].header


def test_headers_alone_prove_a_chain() -> None:
    assert verify_headers(CHAIN.genesis, CHAIN.blocks) == CHAIN.blocks[-1].header
    with pytest.raises(VerificationError):
        verify_headers(CHAIN.genesis, CHAIN.blocks[1:])
    with pytest.raises(VerificationError):
        verify_headers(OTHER.genesis, CHAIN.blocks)


def test_no_model_comes_with_another_digest() -> None:
    models = MemoryModels()
    model: NDArray[np.int32] = np.arange(4, dtype=np.int32)
    models.put(digest("another"), model)
    with pytest.raises(DataError):
        MemoryLedgerPeer(CHAIN.genesis, *build_stores(), models).get_model(digest("another"))


class Replicas(Ledger):
    """A liar that names a height it cannot show, and behind it an honest ledger."""

    def __init__(self) -> None:
        super().__init__([], [])
        self.asked_liar = 0
        self.is_trusted = True

    def get_head(self) -> Block | None:
        head = CHAIN.blocks[-1]
        if not self.is_trusted:
            return head
        self.asked_liar += 1
        return dataclasses.replace(head, header=dataclasses.replace(head.header, height=10**9))

    def distrust(self) -> None:
        self.is_trusted = False


def test_a_ledger_that_names_a_height_it_cannot_show_is_passed_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("flobc.runtime.light_follower.RETRY_S", 0.01)
    replicas = Replicas()
    trainer = Trainer(replicas)
    trainer.live(blocks=1)
    assert replicas.asked_liar == 1
    trainer.require_truth(since=ROUNDS)
    assert trainer.follower.caught_up


class Grown(Ledger):
    """A ledger that has blocks already; ``heads`` are told first when it is asked for its newest."""

    def __init__(self, height: int, heads: list[Callable[[Block], Block]], states: list) -> None:
        super().__init__([], states)
        self.height, self.heads, self.asked = height, heads, list[int]()

    def get_head(self) -> Block | None:
        newest = CHAIN.blocks[self.height - 1]
        return self.heads.pop(0)(newest) if self.heads else newest

    def follow(self, height: int) -> Iterator[Block]:
        self.asked.append(height)
        yield from super().follow(height)


@pytest.mark.parametrize("height", range(1, ROUNDS + 1))
def test_begins_at_the_newest_block_and_asks_for_no_older_one(height: int) -> None:
    """CHAIN-6: validators never change within a chain, so a certificate proves its block by itself."""
    ledger = Grown(height, [], [])
    trainer = Trainer(ledger)
    trainer.live(blocks=ROUNDS + 1 - height)
    trainer.require_truth(since=height)
    assert ledger.asked[0] == height + 1
    assert trainer.follower.caught_up


@pytest.mark.parametrize("name", [name for name in FORGERIES if name not in ("the wrong place", "another chain")])
def test_a_forged_newest_block_is_never_told(name: str) -> None:
    ledger = Grown(2, [FORGERIES[name]], [])
    trainer = Trainer(ledger)
    trainer.live(blocks=ROUNDS - 1)
    assert ledger.heads == []
    trainer.require_truth(since=2)


@pytest.mark.parametrize("name", LIES)
def test_a_false_state_of_the_newest_block_is_never_told(name: str) -> None:
    ledger = Grown(2, [], [LIES[name]])
    trainer = Trainer(ledger)
    trainer.live(blocks=ROUNDS - 1)
    assert ledger.states == []
    trainer.require_truth(since=2)
