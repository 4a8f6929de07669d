"""How a server answers what it cannot give: one status code and one sentence."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import traceback
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any, NoReturn

import grpc
import numpy as np
from numpy.typing import NDArray

from flobc.adapters.grpc.generated import pieces_pb2
from flobc.adapters.grpc.wire import DIGEST_BYTES, MAX_MODEL_BYTES, MAX_OBJECT_BYTES, PIECE_BYTES, count_pieces
from flobc.errors import DataError, RemoteProtocolError, TransientError, UsageError

SLOW_READER_S = 60.0
"""A reader that takes no piece for so long holds a model in memory for nothing."""

_LOG = logging.getLogger(__name__)


async def refuse(context: grpc.aio.ServicerContext, code: grpc.StatusCode, sentence: str) -> NoReturn:
    """End the call with a status."""
    await context.abort(code, sentence)
    raise AssertionError("abort raises")


async def refuse_unknown(context: grpc.aio.ServicerContext, what: str) -> NoReturn:
    """End the call because this server does not hold something."""
    await refuse(context, grpc.StatusCode.NOT_FOUND, f"This server does not hold {what}; another one may.")


class ReaderStalled(TransientError):
    """A client keeps a stream open and takes nothing from it."""


@contextlib.asynccontextmanager
async def answering(context: grpc.aio.ServicerContext) -> AsyncIterator[None]:
    """Turn errors into statuses; what a store says of itself stays in this server's log."""
    try:
        yield
    except ReaderStalled as error:
        # the status waits for the client as the pieces did: what they were cut from must not wait with it
        traceback.clear_frames(error.__traceback__)
        await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, str(error))
    except (TransientError, OSError) as error:
        _LOG.warning("a store cannot be reached: %s", error)
        sentence = "This server's store cannot be reached; try again or ask another server."
        await refuse(context, grpc.StatusCode.UNAVAILABLE, sentence)
    except (DataError, RemoteProtocolError) as error:
        _LOG.error("a store holds something damaged: %s", error)
        sentence = "What this server's store holds there is damaged; ask another server."
        await refuse(context, grpc.StatusCode.DATA_LOSS, sentence)
    except UsageError as error:
        await refuse(context, grpc.StatusCode.INVALID_ARGUMENT, str(error))


def require_digest(name: str, value: bytes) -> bytes:
    """Return a digest from a request. **Raises** UsageError."""
    if len(value) != DIGEST_BYTES:
        raise UsageError(f"The {name} has {len(value)} bytes instead of {DIGEST_BYTES}; send the whole digest.")
    return value


def require_height(height: int) -> int:
    """Return a block's height from a request. **Raises** UsageError."""
    if height < 1:
        raise UsageError("Blocks count from height 1; ask GetGenesis for block 0.")
    return height


def require_first(first: int, count: int, what: str) -> None:
    """Check where a stream shall begin. **Raises** UsageError."""
    if first and first >= count:
        raise UsageError(f"There is no {what} {first}, only {count} of them, counted from 0; begin at an earlier one.")


async def send(context: grpc.aio.ServicerContext, message: Any) -> None:
    """Write a message when the reader has room, and give up one that has none for long."""
    try:
        async with asyncio.timeout(SLOW_READER_S):
            await context.write(message)
    except TimeoutError:
        sentence = f"Nothing was taken for {SLOW_READER_S:.0f} s; go on at the next piece when there is room."
        raise ReaderStalled(sentence, 1.0) from None


async def send_object(context: grpc.aio.ServicerContext, response: Callable[..., Any], data: bytes, what: str) -> None:
    """Stream canonical bytes as contents and pieces."""
    await _require_size(context, len(data), MAX_OBJECT_BYTES, what)
    await send(context, response(contents=pieces_pb2.Contents(size_bytes=len(data))))
    for piece in _cut(memoryview(data), 0):
        await send(context, response(piece=piece))


async def send_model(
    context: grpc.aio.ServicerContext,
    response: Callable[..., Any],
    model: NDArray[np.int32],
    contents: pieces_pb2.ModelContents,
    first: int,
) -> None:
    """Stream a model as contents and pieces from the ``first`` on. **Shapes**: model (D,)."""
    await _require_size(context, 4 * model.size, MAX_MODEL_BYTES, "the model")
    require_first(first, count_pieces(4 * model.size), "piece")
    data = np.ascontiguousarray(model, dtype="<i4").view(np.uint8).data
    await send(context, response(contents=contents))
    for piece in _cut(data, first):
        await send(context, response(piece=piece))


def _cut(data: memoryview, first: int) -> Iterator[bytes]:
    for start in range(first * PIECE_BYTES, len(data), PIECE_BYTES):
        yield bytes(data[start : start + PIECE_BYTES])


async def _require_size(context: grpc.aio.ServicerContext, size_bytes: int, limit: int, what: str) -> None:
    if size_bytes > limit:
        sentence = f"There are {size_bytes} bytes of {what}, above {limit}; it cannot be had over gRPC."
        await refuse(context, grpc.StatusCode.RESOURCE_EXHAUSTED, sentence)
