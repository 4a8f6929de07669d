"""The Ledger service of proto/flobc/v1/ledger.proto on any block, state and model store."""

from __future__ import annotations

import asyncio
from typing import NoReturn

import grpc

from flobc.adapters.grpc.answering import (
    answering,
    refuse,
    refuse_unknown,
    require_digest,
    require_height,
    send_model,
    send_object,
)
from flobc.adapters.grpc.generated import ledger_pb2, pieces_pb2
from flobc.adapters.grpc.generated.ledger_pb2_grpc import LedgerServicer
from flobc.adapters.grpc.reading import CertifiedBlocks, SharedReads
from flobc.errors import UsageError
from flobc.ports.blocks import BlockStore
from flobc.ports.models import ModelStore
from flobc.ports.states import StateStore
from flobc.protocol.chain.block import Block, Header
from flobc.protocol.chain.proof import find_update_proof
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import decode, encode
from flobc.protocol.params import Genesis

DEFAULT_PAGE = 100
MAX_PAGE = 1_000
MAX_PAGE_BYTES = 2 * 1024 * 1024


class LedgerService(LedgerServicer):
    """Reads only. Method names and messages are the .proto file's; errors become statuses in ``answering``."""

    def __init__(
        self, genesis: Genesis, blocks: BlockStore, states: StateStore, models: ModelStore, certified: CertifiedBlocks
    ) -> None:
        self._genesis = genesis
        self._genesis_header = build_initial_state(genesis).head.header
        self._blocks = blocks
        self._states = states
        self._models = SharedReads(models.get)
        self._certified = certified

    async def GetHead(
        self, request: ledger_pb2.GetHeadRequest, context: grpc.aio.ServicerContext
    ) -> ledger_pb2.GetHeadResponse:
        """Answer with the newest header and certificate."""
        async with answering(context):
            height = await self._certified.read_head()
            block = await self._certified.get(height) if height else None
            if block is None:
                await refuse_unknown(context, "any block but the genesis")
            return ledger_pb2.GetHeadResponse(block=block)
        raise AssertionError("answered or refused")

    async def GetBlock(self, request: ledger_pb2.GetBlockRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream a block with its body."""
        async with answering(context):
            await self._send_block(context, require_height(request.height))

    async def ListBlocks(
        self, request: ledger_pb2.ListBlocksRequest, context: grpc.aio.ServicerContext
    ) -> ledger_pb2.ListBlocksResponse:
        """Answer with a page of headers and certificates."""
        async with answering(context):
            height = require_height(request.from_height)
            if request.limit > MAX_PAGE:
                raise UsageError(f"A page has at most {MAX_PAGE} blocks, not {request.limit}; ask for several pages.")
            head = await self._certified.read_head()
            stop = min(head + 1, height + (request.limit or DEFAULT_PAGE))
            page, size_bytes = [], 0
            while height < stop and size_bytes < MAX_PAGE_BYTES:
                block = await self._certified.get(height)
                if block is None:
                    await self._refuse_gap(context, height)
                page.append(block)
                size_bytes += len(block)
                height += 1
            return ledger_pb2.ListBlocksResponse(blocks=page, next_height=height if height <= head else 0)
        raise AssertionError("answered or refused")

    async def Follow(self, request: ledger_pb2.FollowRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream headers and certificates; one at a time, so a slow reader holds one and no queue."""
        async with answering(context):
            height = require_height(request.from_height)
            self._certified.notify(height)
            while await self._certified.wait_for(height):
                block = await self._certified.get(height)
                if block is None:
                    await self._refuse_gap(context, height)
                await context.write(ledger_pb2.FollowResponse(block=block))
                height += 1
            await refuse(context, grpc.StatusCode.UNAVAILABLE, "This server stops; go on at another one.")

    async def GetModel(self, request: ledger_pb2.GetModelRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream a model."""
        async with answering(context):
            match request.WhichOneof("model"):
                case "digest":
                    digest = require_digest("model's digest", request.digest)
                case "height":
                    digest = (await self._read_header(context, request.height)).model
                case _:
                    raise UsageError("The request names no model; send its digest or a height.")
            await self._send_model(context, digest, request.first_piece)

    async def GetProof(
        self, request: ledger_pb2.GetProofRequest, context: grpc.aio.ServicerContext
    ) -> ledger_pb2.GetProofResponse:
        """Answer with what a block decided on an update, and the way up to its header."""
        async with answering(context):
            update = require_digest("update's id", request.update)
            block = await self._read_block(context, require_height(request.height))
            proof = await asyncio.to_thread(find_update_proof, block, update)
            if proof is None:
                await refuse_unknown(context, f"a decision of block {request.height} on update {update.hex()[:12]}")
            return ledger_pb2.GetProofResponse(proof=encode(proof))
        raise AssertionError("answered or refused")

    async def GetState(self, request: ledger_pb2.GetStateRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream an encoded core state."""
        async with answering(context):
            match request.WhichOneof("state"):
                case "digest":
                    digest = require_digest("state's digest", request.digest)
                case "height":
                    digest = (await self._read_header(context, request.height)).state
                case _:
                    raise UsageError("The request names no state; send its digest or a height.")
            await self._send_state(context, digest)

    async def GetGenesis(self, request: ledger_pb2.GetGenesisRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream block 0."""
        async with answering(context):
            await send_object(context, ledger_pb2.GetGenesisResponse, encode(self._genesis), "the genesis")

    # In frames of their own, which ``answering`` can clear of what they hold.

    async def _send_block(self, context: grpc.aio.ServicerContext, height: int) -> None:
        data = await asyncio.to_thread(encode, await self._read_block(context, height))
        await send_object(context, ledger_pb2.GetBlockResponse, data, "the block")

    async def _send_model(self, context: grpc.aio.ServicerContext, digest: bytes, first: int) -> None:
        model = await self._models.get(digest)
        if model is None:
            await refuse_unknown(context, f"model {digest.hex()[:12]}")
        contents = pieces_pb2.ModelContents(digest=digest, size=model.size, chunk_size=self._genesis.model.chunk_size)
        await send_model(context, ledger_pb2.GetModelResponse, model, contents, first)

    async def _send_state(self, context: grpc.aio.ServicerContext, digest: bytes) -> None:
        state = await asyncio.to_thread(self._states.get, digest)
        if state is None:
            await refuse_unknown(context, f"state {digest.hex()[:12]}")
        await send_object(context, ledger_pb2.GetStateResponse, state, "the state")

    async def _read_block(self, context: grpc.aio.ServicerContext, height: int) -> Block:
        block = await asyncio.to_thread(self._blocks.get, height)
        if block is None:
            await refuse_unknown(context, f"block {height}")
        return block

    async def _read_header(self, context: grpc.aio.ServicerContext, height: int) -> Header:
        if height == 0:
            return self._genesis_header
        data = await self._certified.get(height)
        if data is None:
            await refuse_unknown(context, f"block {height}")
        return decode(Block, data).header

    async def _refuse_gap(self, context: grpc.aio.ServicerContext, height: int) -> NoReturn:
        sentence = f"Block {height} is missing in this server's store, which has later ones; ask another server."
        await refuse(context, grpc.StatusCode.DATA_LOSS, sentence)
