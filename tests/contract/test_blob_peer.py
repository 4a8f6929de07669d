"""BlobPeer: what a validator holds by digest, in process and over gRPC."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest

from flobc.adapters.grpc import BlobClient, BlobServer, Patience
from flobc.adapters.memory import MemoryBlobPeer
from flobc.errors import DataError, TransientError
from flobc.ports.payloads import Payload
from flobc.ports.peers import BlobPeer
from flobc.protocol.messages import NO_SIGNATURE, compute_update_id
from tests.support.dialogue import digest
from tests.support.payloads import build_payload
from tests.support.served_chain import Flaky, ServedChain, build_model

PATIENCE = Patience(call_s=5, stream_s=5, retry_s=0.3)


@dataclass
class Validator:
    """A peer and the stores that it reads, which may fail."""

    stores: ServedChain
    payloads: Flaky
    models: Flaky
    peer: BlobPeer

    def hold(self, payload: Payload) -> bytes:
        update = compute_update_id(payload.header)
        self.stores.payloads.put(update, payload)
        return update


@pytest.fixture(params=["memory", "grpc"])
def validator(request: pytest.FixtureRequest) -> Iterator[Validator]:
    stores = ServedChain()
    flaky = (Flaky(stores.payloads), Flaky(stores.models))
    if request.param == "memory":
        peer: BlobPeer = MemoryBlobPeer(stores.genesis, *flaky)
        yield Validator(stores, *flaky, peer)
        peer.close()
        return
    server = BlobServer(stores.genesis, *flaky)
    peer = BlobClient([server.start("127.0.0.1:0")], patience=PATIENCE)
    yield Validator(stores, *flaky, peer)
    peer.close()
    server.stop(0)


def test_holds_nothing_else(validator: Validator) -> None:
    assert validator.peer.get_payload(digest("update")) is None
    assert validator.peer.get_payload(b"short") is None
    assert validator.peer.get_model(digest("model")) is None
    assert validator.peer.get_model(b"short") is None


@pytest.mark.parametrize(
    "chunks", [(b"one",), (b"", b"two"), (bytes(2**20), b"last"), tuple(b"%d" % number for number in range(300))]
)
def test_returns_payloads_by_update(validator: Validator, chunks: tuple[bytes, ...]) -> None:
    payload = build_payload(chunks=chunks)
    assert validator.peer.get_payload(validator.hold(payload)) == payload


def test_returns_models_by_digest(validator: Validator) -> None:
    found = validator.peer.get_model(validator.stores.genesis.initial_model)
    np.testing.assert_array_equal(found, build_model(0))  # type: ignore[arg-type]


def test_a_wrong_model_is_never_accepted(validator: Validator) -> None:
    name = validator.stores.genesis.initial_model
    validator.stores.models.put(name, build_model(1))
    with pytest.raises(DataError, match=name.hex()[:12]):
        validator.peer.get_model(name)


@pytest.mark.parametrize(
    "chunks", [(b"ab",), (b"ab", b"x"), (b"ab", b"cd"), (b"a", b"bc"), (b"ab", b"c", b"")], ids=str
)
def test_wrong_chunks_are_never_accepted(validator: Validator, chunks: tuple[bytes, ...]) -> None:
    payload = build_payload(chunks=(b"ab", b"c"))
    update = validator.hold(replace(payload, chunks=chunks))
    with pytest.raises(DataError, match=update.hex()[:12]):
        validator.peer.get_payload(update)


def test_a_header_that_is_not_the_trainers_is_never_accepted(validator: Validator) -> None:
    payload, other = build_payload(), build_payload(trainer=1)
    update = compute_update_id(payload.header)
    for wrong in (other, replace(payload, header=replace(payload.header, signature=NO_SIGNATURE))):
        validator.stores.payloads.put(update, wrong)
        with pytest.raises(DataError, match=update.hex()[:12]):
            validator.peer.get_payload(update)


def test_a_store_that_is_away_is_said_to_be_and_may_come_back(validator: Validator) -> None:
    payload = build_payload()
    update = validator.hold(payload)
    validator.payloads.error = TransientError("the store is away", 0.1)
    with pytest.raises(TransientError):
        validator.peer.get_payload(update)
    validator.payloads.error = None
    assert validator.peer.get_payload(update) == payload
