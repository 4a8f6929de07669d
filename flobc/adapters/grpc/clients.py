"""The ports LedgerPeer and BlobPeer over gRPC."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import grpc
import numpy as np
from numpy.typing import NDArray

from flobc.adapters.grpc.connections import Connections, Failures, Patience
from flobc.adapters.grpc.downloads import ModelDownload, PayloadDownload, decode_answer, read_pieces
from flobc.adapters.grpc.generated import blobs_pb2, ledger_pb2
from flobc.adapters.grpc.generated.blobs_pb2_grpc import BlobsStub
from flobc.adapters.grpc.generated.ledger_pb2_grpc import LedgerStub
from flobc.adapters.grpc.outlines import require_outline
from flobc.adapters.grpc.tls import TlsSettings
from flobc.adapters.grpc.wire import DIGEST_BYTES, MAX_BLOCK_BYTES, MAX_HEIGHT
from flobc.errors import DataError, UsageError
from flobc.ports.payloads import Payload
from flobc.protocol.chain.block import EMPTY_BODY, Block
from flobc.protocol.chain.proof import UpdateProof
from flobc.protocol.consensus.state import compute_state_digest
from flobc.protocol.encoding import encode
from flobc.protocol.merkle import verify_inclusion
from flobc.protocol.params import Genesis

DEFAULT_PATIENCE = Patience()


class LedgerClient:
    """A LedgerPeer over one or several ledger replicas.

    Certificates are the caller's to check; digests, heights and forms are checked here, and a server whose
    answer is wrong is passed over. Methods raise TransientError when no server can be reached for some
    seconds, DataError when all that answer are wrong; None means that no server that answers holds it.
    """

    def __init__(
        self, addresses: Sequence[str], tls: TlsSettings | None = None, patience: Patience = DEFAULT_PATIENCE
    ) -> None:
        self._servers: Connections[LedgerStub] = Connections(addresses, LedgerStub, tls, patience)
        self._call_s = patience.call_s
        self._stream_s = patience.stream_s

    def get_head(self) -> Block | None:
        """Return the newest certified block with an empty body, or None while there is only the genesis."""
        request = ledger_pb2.GetHeadRequest()
        return self._servers.ask(
            "the head", lambda stub: _decode_certified(stub.GetHead(request, timeout=self._call_s).block)
        )

    def get_block(self, height: int) -> Block | None:
        """Return the block at a height, body included, or None."""
        if not 1 <= height <= MAX_HEIGHT:
            return None
        request = ledger_pb2.GetBlockRequest(height=height)

        def attempt(stub: LedgerStub) -> Block:
            data = read_pieces(stub.GetBlock(request, timeout=self._stream_s), MAX_BLOCK_BYTES)
            require_outline(data)
            return _require_height(decode_answer(Block, data), height)

        return self._servers.ask(f"block {height}", attempt)

    def list_blocks(self, height: int, limit: int = 0) -> list[Block]:
        """Return a page of consecutive blocks from ``height`` on, bodies empty; it may be shorter than ``limit``.

        A ``limit`` of 0 leaves the page's size to the server. An empty page says that there is nothing yet.
        """
        _check_start(height)
        request = ledger_pb2.ListBlocksRequest(from_height=height, limit=limit)

        def attempt(stub: LedgerStub) -> list[Block]:
            page = stub.ListBlocks(request, timeout=self._call_s).blocks
            return [_require_height(_decode_certified(data), height + place) for place, data in enumerate(page)]

        return self._servers.ask(f"blocks from {height} on", attempt) or []

    def follow(self, height: int) -> Iterator[Block]:
        """Yield each certified block from ``height`` on, bodies empty, and wait for the next.

        Goes on by itself at the next height when a stream breaks; ends only when the client is closed.
        """
        _check_start(height)
        retry = self._servers.start_retry()
        while not self._servers.closed:
            failures = Failures(f"blocks from {height} on")
            for address, stub in self._servers.in_turn():
                try:
                    for block in self._follow_one(stub, height):
                        retry.reset()
                        self._servers.prefer(address)
                        yield block
                        height += 1
                except (grpc.RpcError, DataError) as error:
                    if isinstance(error, grpc.RpcError) and error.code() is grpc.StatusCode.DEADLINE_EXCEEDED:
                        # nothing new for as long as one stream lasts
                        retry.reset()
                    failures.note(address, error)
                else:
                    failures.note_end(address)
            if not self._servers.closed and not retry.pause() and not self._servers.closed:
                raise failures.build_error()

    def distrust(self) -> None:
        """What came last did not hold: ask the next address first from now on."""
        self._servers.distrust()

    def get_state(self, digest: bytes) -> bytes | None:
        """Return the encoded core state with this digest, which is checked, or None."""
        if len(digest) != DIGEST_BYTES:
            return None
        request = ledger_pb2.GetStateRequest(digest=digest)

        def attempt(stub: LedgerStub) -> bytes:
            state = read_pieces(stub.GetState(request, timeout=self._stream_s))
            if compute_state_digest(state) != digest:
                raise DataError("it has another digest")
            return state

        return self._servers.ask(f"state {digest.hex()[:12]}", attempt)

    def get_model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return the model with this digest, which is checked, or None. **Shapes**: (D,)."""
        if len(digest) != DIGEST_BYTES:
            return None
        download = ModelDownload(digest)

        def attempt(stub: LedgerStub) -> NDArray[np.int32]:
            return download.run(
                lambda first: stub.GetModel(
                    ledger_pb2.GetModelRequest(digest=digest, first_piece=first), timeout=self._stream_s
                )
            )

        return self._servers.ask(f"model {digest.hex()[:12]}", attempt, lambda: download.progress)

    def get_proof(self, height: int, update: bytes) -> UpdateProof | None:
        """Return what the block at a height decided on an update, or None when it did not.

        The way up to the header's root is checked; whether the header is certified is the caller's to check.
        """
        if not 1 <= height <= MAX_HEIGHT or len(update) != DIGEST_BYTES:
            return None
        request = ledger_pb2.GetProofRequest(height=height, update=update)

        def attempt(stub: LedgerStub) -> UpdateProof:
            proof = decode_answer(UpdateProof, stub.GetProof(request, timeout=self._call_s).proof)
            if proof.header.height != height or proof.decision.update != update or not _is_included(proof):
                raise DataError("it proves something else")
            return proof

        return self._servers.ask(f"the proof of update {update.hex()[:12]}", attempt)

    def get_genesis(self) -> Genesis | None:
        """Return the genesis that a server speaks of; only its digest, the chain's id, tells whether it is the one."""
        request = ledger_pb2.GetGenesisRequest()

        def attempt(stub: LedgerStub) -> Genesis:
            return decode_answer(Genesis, read_pieces(stub.GetGenesis(request, timeout=self._stream_s)))

        return self._servers.ask("the genesis", attempt)

    def close(self) -> None:
        """Let go of connections; a ``follow`` under way ends."""
        self._servers.close()

    def _follow_one(self, stub: LedgerStub, height: int) -> Iterator[Block]:
        call = stub.Follow(ledger_pb2.FollowRequest(from_height=height), timeout=self._stream_s)
        try:
            for place, response in enumerate(call):
                yield _require_height(_decode_certified(response.block), height + place)
        finally:
            call.cancel()


class BlobClient:
    """A BlobPeer over one or several validators; raises and returns None as ``LedgerClient`` does."""

    def __init__(
        self, addresses: Sequence[str], tls: TlsSettings | None = None, patience: Patience = DEFAULT_PATIENCE
    ) -> None:
        self._servers: Connections[BlobsStub] = Connections(addresses, BlobsStub, tls, patience)
        self._stream_s = patience.stream_s

    def get_model(self, digest: bytes) -> NDArray[np.int32] | None:
        """Return the model with this digest, which is checked, or None. **Shapes**: (D,)."""
        if len(digest) != DIGEST_BYTES:
            return None
        download = ModelDownload(digest)

        def attempt(stub: BlobsStub) -> NDArray[np.int32]:
            return download.run(
                lambda first: stub.GetModel(
                    blobs_pb2.BlobsGetModelRequest(digest=digest, first_piece=first), timeout=self._stream_s
                )
            )

        return self._servers.ask(f"model {digest.hex()[:12]}", attempt, lambda: download.progress)

    def get_payload(self, update: bytes) -> Payload | None:
        """Return the payload of an update, whose signature and root are checked, or None."""
        if len(update) != DIGEST_BYTES:
            return None
        download = PayloadDownload(update)

        def attempt(stub: BlobsStub) -> Payload:
            return download.run(
                lambda first: stub.GetPayload(
                    blobs_pb2.GetPayloadRequest(update=update, first_chunk=first), timeout=self._stream_s
                )
            )

        return self._servers.ask(f"the payload of update {update.hex()[:12]}", attempt, lambda: download.progress)

    def close(self) -> None:
        """Let go of connections."""
        self._servers.close()


def _check_start(height: int) -> None:
    if not 1 <= height <= MAX_HEIGHT:
        raise UsageError(f"There is no block {height} to begin with; blocks count from 1.")


def _decode_certified(data: bytes) -> Block:
    block = decode_answer(Block, data)
    if block.body != EMPTY_BODY:
        raise DataError("it has a body")
    return block


def _require_height(block: Block, height: int) -> Block:
    if block.height != height:
        raise DataError(f"it is block {block.height} instead of block {height}")
    return block


def _is_included(proof: UpdateProof) -> bool:
    header, way = proof.header, proof.inclusion
    return verify_inclusion(encode(proof.decision), way.index, header.num_decisions, way.path, header.decisions_root)
