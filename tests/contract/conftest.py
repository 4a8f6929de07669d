"""Every implementation of a port passes the port's suite; here are the implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from flobc.adapters import filesystem, memory, redis
from flobc.learning.model_digest import compute_model_digest
from flobc.ports.blocks import BlockStore
from flobc.ports.models import ModelStore
from flobc.ports.payloads import PayloadStore
from flobc.ports.records import RecordLog
from flobc.ports.seals import SealStore
from flobc.ports.states import StateStore
from tests.support.redis_server import redis_address, redis_client

GENESIS_HEAD = bytes(range(32))
"""What the first block of the suites names as its parent."""
CHUNK_SIZE = 1000
"""Coordinates per chunk of the suites' models."""

__all__ = ["redis_address", "redis_client"]  # fixtures of the whole folder


def name_model(model: NDArray[np.int32]) -> bytes:
    """The digest under which a model may be kept."""
    return compute_model_digest(model, CHUNK_SIZE)


@dataclass(frozen=True)
class LedgerAdapter:
    """Opens the stores that a ledger replica needs; opening again finds what was there, if it outlives the object."""

    models: Callable[[], ModelStore]
    blocks: Callable[[], BlockStore]
    states: Callable[[], StateStore]


@dataclass(frozen=True)
class Adapter(LedgerAdapter):
    """Opens each port's store."""

    log: Callable[[], RecordLog]
    payloads: Callable[[], PayloadStore]
    seals: Callable[[], SealStore]


def build_memory() -> Adapter:
    def hold(store: Any) -> Callable[[], Any]:
        return lambda: store

    return Adapter(
        models=hold(memory.MemoryModels()),
        blocks=hold(memory.MemoryBlocks(GENESIS_HEAD)),
        states=hold(memory.MemoryStates()),
        log=hold(memory.MemoryLog()),
        payloads=hold(memory.MemoryPayloads()),
        seals=hold(memory.MemorySeals()),
    )


def build_filesystem(root: Path) -> Adapter:
    return Adapter(
        models=lambda: filesystem.FileModels(root / "models"),
        blocks=lambda: filesystem.FileBlocks(root / "blocks", GENESIS_HEAD),
        states=lambda: filesystem.FileStates(root / "states"),
        log=lambda: filesystem.FileLog(root / "log"),
        payloads=lambda: filesystem.FilePayloads(root / "payloads"),
        seals=lambda: filesystem.FileSeals(root / "seals", lambda: None),
    )


def build_redis(client: redis.RedisClient) -> LedgerAdapter:
    return LedgerAdapter(
        models=lambda: redis.RedisModels(client, CHUNK_SIZE),
        blocks=lambda: redis.RedisBlocks(client, GENESIS_HEAD),
        states=lambda: redis.RedisStates(client),
    )


@pytest.fixture(params=["memory", "filesystem"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    return build_memory() if request.param == "memory" else build_filesystem(tmp_path)


@pytest.fixture(params=["memory", "filesystem", pytest.param("redis", marks=pytest.mark.integration)])
def ledger_adapter(request: pytest.FixtureRequest, tmp_path: Path) -> LedgerAdapter:
    if request.param == "redis":
        return build_redis(request.getfixturevalue("redis_client"))
    return build_memory() if request.param == "memory" else build_filesystem(tmp_path)
