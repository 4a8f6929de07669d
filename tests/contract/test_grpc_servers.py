"""What anybody with a gRPC client sees of our servers: statuses, limits, health, reflection, TLS."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from flobc.adapters.grpc import BlobServer, LedgerClient, LedgerServer, Patience, TlsSettings, answering
from flobc.adapters.grpc.generated import blobs_pb2, ledger_pb2
from flobc.adapters.grpc.generated.blobs_pb2_grpc import BlobsStub
from flobc.adapters.grpc.generated.ledger_pb2_grpc import LedgerStub
from flobc.adapters.grpc.wire import MAX_MESSAGE_BYTES, PIECE_BYTES
from flobc.adapters.memory import MemoryModels
from flobc.composition.verification import verify_headers, verify_update
from flobc.errors import DataError, TransientError, UsageError
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.messages import compute_update_id
from tests.support.certificates import build_authority, build_tls
from tests.support.dialogue import digest
from tests.support.payloads import build_payload
from tests.support.ports import wait_until
from tests.support.served_chain import SIZE, Flaky, ServedChain, drop_body

CODE = grpc.StatusCode
HASTE = Patience(call_s=2, stream_s=2, retry_s=0.3)


@pytest.fixture(scope="module")
def stores() -> ServedChain:
    stores = ServedChain()
    stores.grow(3)
    return stores


@pytest.fixture(scope="module")
def ledger(stores: ServedChain) -> Iterator[str]:
    server = LedgerServer(stores.genesis, stores.blocks, stores.states, stores.models)
    yield server.start("127.0.0.1:0")
    server.stop(0)


@pytest.fixture(scope="module")
def blobs(stores: ServedChain) -> Iterator[str]:
    server = BlobServer(stores.genesis, stores.payloads, stores.models)
    yield server.start("127.0.0.1:0")
    server.stop(0)


@pytest.fixture
def ledger_stub(ledger: str) -> Iterator[LedgerStub]:
    with grpc.insecure_channel(ledger) as channel:
        yield LedgerStub(channel)


@pytest.fixture
def blobs_stub(blobs: str) -> Iterator[BlobsStub]:
    with grpc.insecure_channel(blobs) as channel:
        yield BlobsStub(channel)


def get_status(call: Callable[[], Any]) -> tuple[grpc.StatusCode, str]:
    """The status of a unary call, or of a stream read to its end."""
    with pytest.raises(grpc.RpcError) as caught:
        list(call())
    return caught.value.code(), caught.value.details()


BAD_REQUESTS: dict[str, Callable[[LedgerStub], Any]] = {
    "block 0": lambda stub: stub.GetBlock(ledger_pb2.GetBlockRequest(height=0)),
    "page from 0": lambda stub: stub.ListBlocks(ledger_pb2.ListBlocksRequest(from_height=0)),
    "long page": lambda stub: stub.ListBlocks(ledger_pb2.ListBlocksRequest(from_height=1, limit=1001)),
    "following from 0": lambda stub: stub.Follow(ledger_pb2.FollowRequest(from_height=0)),
    "no model": lambda stub: stub.GetModel(ledger_pb2.GetModelRequest()),
    "short digest": lambda stub: stub.GetModel(ledger_pb2.GetModelRequest(digest=b"short")),
    "piece behind the end": lambda stub: stub.GetModel(ledger_pb2.GetModelRequest(height=1, first_piece=4)),
    "no state": lambda stub: stub.GetState(ledger_pb2.GetStateRequest()),
    "long digest": lambda stub: stub.GetState(ledger_pb2.GetStateRequest(digest=bytes(33))),
    "no update": lambda stub: stub.GetProof(ledger_pb2.GetProofRequest(height=1)),
    "proof at 0": lambda stub: stub.GetProof(ledger_pb2.GetProofRequest(height=0, update=bytes(32))),
}


@pytest.mark.parametrize("request_name", BAD_REQUESTS)
def test_invalid_request(ledger_stub: LedgerStub, request_name: str) -> None:
    code, details = get_status(lambda: BAD_REQUESTS[request_name](ledger_stub))
    assert code is CODE.INVALID_ARGUMENT
    assert details.endswith(".")
    assert len(details) > 20


UNKNOWN: dict[str, Callable[[LedgerStub], Any]] = {
    "block": lambda stub: stub.GetBlock(ledger_pb2.GetBlockRequest(height=9)),
    "model": lambda stub: stub.GetModel(ledger_pb2.GetModelRequest(digest=digest("model"))),
    "model of a height": lambda stub: stub.GetModel(ledger_pb2.GetModelRequest(height=9)),
    "state": lambda stub: stub.GetState(ledger_pb2.GetStateRequest(digest=digest("state"))),
    "state of a height": lambda stub: stub.GetState(ledger_pb2.GetStateRequest(height=9)),
    "update": lambda stub: stub.GetProof(ledger_pb2.GetProofRequest(height=1, update=digest("update"))),
    "decision": lambda stub: stub.GetProof(ledger_pb2.GetProofRequest(height=9, update=digest("update"))),
}


@pytest.mark.parametrize("what", UNKNOWN)
def test_unknown_things_are_not_found(ledger_stub: LedgerStub, what: str) -> None:
    assert get_status(lambda: UNKNOWN[what](ledger_stub))[0] is CODE.NOT_FOUND


def test_invalid_and_unknown_blobs(blobs_stub: BlobsStub, stores: ServedChain) -> None:
    payload = build_payload(chunks=(b"one", b"two"))
    update = compute_update_id(payload.header)
    stores.payloads.put(update, payload)
    ask = blobs_pb2.GetPayloadRequest
    assert get_status(lambda: blobs_stub.GetPayload(ask(update=b"short")))[0] is CODE.INVALID_ARGUMENT
    assert get_status(lambda: blobs_stub.GetPayload(ask(update=update, first_chunk=2)))[0] is CODE.INVALID_ARGUMENT
    assert get_status(lambda: blobs_stub.GetPayload(ask(update=bytes(32))))[0] is CODE.NOT_FOUND
    assert [part.chunk for part in blobs_stub.GetPayload(ask(update=update, first_chunk=1))][1:] == [b"two"]
    model = blobs_pb2.BlobsGetModelRequest
    assert get_status(lambda: blobs_stub.GetModel(model(digest=b"")))[0] is CODE.INVALID_ARGUMENT
    assert get_status(lambda: blobs_stub.GetModel(model(digest=bytes(32))))[0] is CODE.NOT_FOUND


def test_stores_that_fail_show_nothing_of_themselves(stores: ServedChain) -> None:
    secret = "redis://user:password@store:6379"
    flaky = Flaky(stores.blocks)
    server = LedgerServer(stores.genesis, flaky, stores.states, stores.models)
    with grpc.insecure_channel(server.start("127.0.0.1:0")) as channel:
        stub = LedgerStub(channel)
        for error, expected in (
            (TransientError(secret, 0.1), CODE.UNAVAILABLE),
            (OSError(secret), CODE.UNAVAILABLE),
            (DataError(secret), CODE.DATA_LOSS),
        ):
            flaky.error = error
            code, details = get_status(lambda: stub.GetBlock(ledger_pb2.GetBlockRequest(height=1)))
            assert code is expected
            assert "password" not in details
    server.stop(0)


def test_oversize_request_is_refused(ledger_stub: LedgerStub) -> None:
    request = ledger_pb2.GetModelRequest(digest=bytes(65 * 1024))
    assert get_status(lambda: ledger_stub.GetModel(request))[0] is CODE.RESOURCE_EXHAUSTED


def test_oversize_chunk_is_refused(blobs_stub: BlobsStub, stores: ServedChain) -> None:
    payload = build_payload(chunks=(bytes(2**20 + 1),))
    update = compute_update_id(payload.header)
    stores.payloads.put(update, payload)
    call = get_status(lambda: blobs_stub.GetPayload(blobs_pb2.GetPayloadRequest(update=update)))
    assert call[0] is CODE.RESOURCE_EXHAUSTED


def test_no_message_is_near_the_limit(ledger_stub: LedgerStub) -> None:
    parts = list(ledger_stub.GetModel(ledger_pb2.GetModelRequest(height=2)))
    assert [len(part.piece) for part in parts[1:]] == [PIECE_BYTES] * 3 + [4 * SIZE - 3 * PIECE_BYTES]
    assert max(part.ByteSize() for part in parts) < MAX_MESSAGE_BYTES / 4


def test_the_callers_deadline_holds(stores: ServedChain) -> None:
    flaky = Flaky(stores.blocks)
    server = LedgerServer(stores.genesis, flaky, stores.states, stores.models)
    with grpc.insecure_channel(server.start("127.0.0.1:0")) as channel:
        stub = LedgerStub(channel)
        flaky.gate.clear()
        assert get_status(lambda: stub.GetHead(ledger_pb2.GetHeadRequest(), timeout=0.2))[0] is CODE.DEADLINE_EXCEEDED
        flaky.gate.set()
        assert stub.GetHead(ledger_pb2.GetHeadRequest(), timeout=5).block
    server.stop(0)


def test_a_client_that_takes_nothing_holds_no_model(stores: ServedChain, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server gives up the model, then the call; whoever reads on later learns why."""
    monkeypatch.setattr(answering, "SLOW_READER_S", 0.2)
    read: list[weakref.ref[Any]] = []

    class FreshModels(MemoryModels):
        def get(self, digest: bytes) -> Any:
            model = np.zeros(20_000_000, np.int32)
            read.append(weakref.ref(model))
            return model

    server = LedgerServer(stores.genesis, stores.blocks, stores.states, FreshModels())
    with grpc.insecure_channel(server.start("127.0.0.1:0")) as channel:
        call = LedgerStub(channel).GetModel(ledger_pb2.GetModelRequest(digest=bytes(32)))
        next(call)
        assert read[0]() is not None
        wait_until(lambda: read[0]() is None)
        assert get_status(lambda: call)[0] is CODE.RESOURCE_EXHAUSTED
    server.stop(0)


def test_models_and_states_by_height(ledger_stub: LedgerStub, stores: ServedChain) -> None:
    blocks = stores.chain.blocks
    for height in range(4):
        model = next(iter(ledger_stub.GetModel(ledger_pb2.GetModelRequest(height=height)))).contents
        assert model.digest == (blocks[height - 1].header.model if height else stores.genesis.initial_model)
        parts = list(ledger_stub.GetState(ledger_pb2.GetStateRequest(height=height)))
        state = blocks[height - 1].header.state if height else build_initial_state(stores.genesis).head.header.state
        assert b"".join(part.piece for part in parts) == stores.states.get(state)


def test_pages_join_up(ledger: str, ledger_stub: LedgerStub, stores: ServedChain) -> None:
    pages, height = [], 1
    while height:
        page = ledger_stub.ListBlocks(ledger_pb2.ListBlocksRequest(from_height=height, limit=2))
        pages.append(len(page.blocks))
        height = page.next_height
    assert pages == [2, 1]
    client = LedgerClient([ledger])
    blocks = client.list_blocks(1)
    assert blocks == [drop_body(block) for block in stores.chain.blocks]
    assert verify_headers(stores.genesis, blocks) == stores.chain.blocks[-1].header
    assert client.list_blocks(4) == []
    client.close()


def test_a_stranger_can_check_a_proof(ledger: str, stores: ServedChain) -> None:
    client = LedgerClient([ledger])
    assert client.get_genesis() == stores.genesis
    for block in stores.chain.blocks:
        for decision in block.body.decisions:
            proof = client.get_proof(block.height, decision.update)
            assert proof is not None
            assert proof.decision == decision
            assert verify_update(stores.genesis, proof.header, proof.certificate, proof.decision, proof.inclusion)
    assert client.get_proof(1, stores.chain.blocks[1].body.decisions[0].update) is None
    client.close()


def test_a_proof_of_something_else_is_never_accepted(stores: ServedChain) -> None:
    block = stores.chain.blocks[0]
    first = block.body.decisions[0]
    changed = replace(block, body=replace(block.body, decisions=(replace(first, score=7), *block.body.decisions[1:])))
    liar = Flaky(stores.blocks)
    liar.get = lambda height: changed  # type: ignore[method-assign]
    server = LedgerServer(stores.genesis, liar, stores.states, stores.models)
    client = LedgerClient([server.start("127.0.0.1:0")], patience=HASTE)
    with pytest.raises(DataError, match="proves something else"):
        client.get_proof(1, first.update)
    client.close()
    server.stop(0)


def test_health_says_what_it_was_told(stores: ServedChain) -> None:
    server = LedgerServer(stores.genesis, stores.blocks, stores.states, stores.models)
    serving, not_serving = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING
    server.set_serving(False)
    with grpc.insecure_channel(server.start("127.0.0.1:0")) as channel:
        stub = health_pb2_grpc.HealthStub(channel)

        def check() -> set[int]:
            return {stub.Check(health_pb2.HealthCheckRequest(service=name)).status for name in ("", "flobc.v1.Ledger")}

        assert check() == {not_serving}
        alive = stub.Check(health_pb2.HealthCheckRequest(service="grpc.health.v1.Health")).status
        assert alive == serving, "what is not ready is alive"
        server.set_serving(True)
        assert check() == {serving}
        heard = stub.Watch(health_pb2.HealthCheckRequest(service=""))
        assert next(heard).status == serving
        server.stop(1)  # without patience the call may end before the last answer is out
        assert next(heard).status == not_serving


def test_reflection_lists_the_services(ledger: str, blobs: str) -> None:
    for address, name in ((ledger, "flobc.v1.Ledger"), (blobs, "flobc.v1.Blobs")):
        with grpc.insecure_channel(address) as channel:
            stub = reflection_pb2_grpc.ServerReflectionStub(channel)
            ask = reflection_pb2.ServerReflectionRequest(list_services="")
            (answer,) = stub.ServerReflectionInfo(iter([ask]))
            names = {service.name for service in answer.list_services_response.service}
            assert {name, "grpc.health.v1.Health"} <= names
            ask = reflection_pb2.ServerReflectionRequest(file_containing_symbol=name)
            (answer,) = stub.ServerReflectionInfo(iter([ask]))
            assert answer.file_descriptor_response.file_descriptor_proto


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl program")
    return build_authority(tmp_path_factory.mktemp("tls") / "ca")


def test_mutual_tls(stores: ServedChain, authority: Path, tmp_path: Path) -> None:
    """Only who shows a certificate of the same authority gets an answer, and only a server with one is believed."""
    stranger = build_tls(build_authority(tmp_path / "other"), "stranger")
    mine = build_tls(authority, "client")
    server = LedgerServer(
        stores.genesis, stores.blocks, stores.states, stores.models, tls=build_tls(authority, "server")
    )
    address = server.start("localhost:0")

    def ask(tls: TlsSettings | None) -> int:
        client = LedgerClient([address], tls=tls, patience=HASTE)
        try:
            head = client.get_head()
            assert head is not None
            return head.height
        finally:
            client.close()

    assert ask(mine) == 3
    for refused in (None, stranger, replace(stranger, ca=authority), replace(mine, ca=stranger.ca)):
        with pytest.raises(TransientError):
            ask(refused)
    server.stop(0)


def test_a_tls_file_that_is_not_there_is_named(stores: ServedChain, tmp_path: Path) -> None:
    tls = TlsSettings(tmp_path / "ca.pem", tmp_path / "one.pem", tmp_path / "one.key")
    with pytest.raises(UsageError, match=r"one\.key"):
        BlobServer(stores.genesis, stores.payloads, stores.models, tls=tls).start("127.0.0.1:0")
    with pytest.raises(UsageError, match=r"ca\.pem"):
        LedgerClient(["localhost:1"], tls=tls)


def test_starting_twice_and_stopping_twice(stores: ServedChain) -> None:
    server = BlobServer(stores.genesis, stores.payloads, stores.models)
    before = set(threading.enumerate())
    address = server.start("127.0.0.1:0")
    with pytest.raises(UsageError, match="runs already"):
        server.start("127.0.0.1:0")
    server.stop(0)
    server.stop(0)
    assert server.start(address) == address
    server.stop(0)
    left = set(threading.enumerate()) - before
    assert not [thread.name for thread in left if "flobc.v1.Blobs" in thread.name]


def test_needs_no_torch() -> None:
    """A ledger's image carries none."""
    code = "import sys; import flobc.adapters.grpc, flobc.adapters.memory; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_server_of_something_else_is_named_at_once(stores: ServedChain, ledger: str) -> None:
    """A stranger at the address will not become a ledger by waiting; one true ledger beside it is enough."""
    stranger = grpc.server(ThreadPoolExecutor(1))
    address = f"127.0.0.1:{stranger.add_insecure_port('127.0.0.1:0')}"
    stranger.start()
    patient = Patience(call_s=5, stream_s=5, retry_s=3600)
    alone, accompanied = LedgerClient([address], patience=patient), LedgerClient([address, ledger], patience=patient)
    try:
        with pytest.raises(DataError, match=f"{address} answers, but serves nothing like"):
            alone.get_head()
        head = accompanied.get_head()
        assert head is not None
        assert head.height == 3
    finally:
        alone.close()
        accompanied.close()
        stranger.stop(0)
