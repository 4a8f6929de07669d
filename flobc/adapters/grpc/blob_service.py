"""The Blobs service of proto/flobc/v1/blobs.proto on any payload and model store."""

from __future__ import annotations

import grpc

from flobc.adapters.grpc.answering import (
    answering,
    refuse,
    refuse_unknown,
    require_digest,
    require_first,
    send,
    send_model,
)
from flobc.adapters.grpc.generated import blobs_pb2, pieces_pb2
from flobc.adapters.grpc.generated.blobs_pb2_grpc import BlobsServicer
from flobc.adapters.grpc.reading import SharedReads
from flobc.adapters.grpc.wire import MAX_CHUNK_BYTES
from flobc.ports.models import ModelStore
from flobc.ports.payloads import PayloadStore
from flobc.protocol.encoding import encode
from flobc.protocol.params import Genesis


class BlobService(BlobsServicer):
    """Reads only. Method names and messages are the .proto file's; errors become statuses in ``answering``."""

    def __init__(self, genesis: Genesis, payloads: PayloadStore, models: ModelStore) -> None:
        self._genesis = genesis
        self._payloads = SharedReads(payloads.get)
        self._models = SharedReads(models.get)

    async def GetPayload(self, request: blobs_pb2.GetPayloadRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream a payload: its header, then its chunks."""
        async with answering(context):
            await self._send_payload(context, require_digest("update's id", request.update), request.first_chunk)

    async def GetModel(self, request: blobs_pb2.BlobsGetModelRequest, context: grpc.aio.ServicerContext) -> None:
        """Stream a model."""
        async with answering(context):
            await self._send_model(context, require_digest("model's digest", request.digest), request.first_piece)

    # In frames of their own, which ``answering`` can clear of what they hold.

    async def _send_payload(self, context: grpc.aio.ServicerContext, update: bytes, first: int) -> None:
        payload = await self._payloads.get(update)
        if payload is None:
            await refuse_unknown(context, f"the payload of update {update.hex()[:12]}")
        if max(map(len, payload.chunks), default=0) > MAX_CHUNK_BYTES:
            sentence = f"A chunk of this payload is above {MAX_CHUNK_BYTES} bytes; it cannot be had over gRPC."
            await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
        require_first(first, len(payload.chunks), "chunk")
        await send(context, blobs_pb2.GetPayloadResponse(header=encode(payload.header)))
        for chunk in payload.chunks[first:]:
            await send(context, blobs_pb2.GetPayloadResponse(chunk=chunk))

    async def _send_model(self, context: grpc.aio.ServicerContext, digest: bytes, first: int) -> None:
        model = await self._models.get(digest)
        if model is None:
            await refuse_unknown(context, f"model {digest.hex()[:12]}")
        contents = pieces_pb2.ModelContents(digest=digest, size=model.size, chunk_size=self._genesis.model.chunk_size)
        await send_model(context, blobs_pb2.BlobsGetModelResponse, model, contents, first)
