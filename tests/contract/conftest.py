"""Every implementation of a port passes the port's suite; here are the implementations."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from flobc.adapters import filesystem, memory
from flobc.ports.blocks import BlockStore
from flobc.ports.models import ModelStore
from flobc.ports.payloads import PayloadStore
from flobc.ports.records import RecordLog
from flobc.ports.seals import SealStore

GENESIS_HEAD = bytes(range(32))
"""What the first block of the suites names as its parent."""


@dataclass(frozen=True)
class Adapter:
    """Opens each port's store; opening again finds what was there, if it outlives the object."""

    log: Callable[[], RecordLog]
    payloads: Callable[[], PayloadStore]
    models: Callable[[], ModelStore]
    blocks: Callable[[], BlockStore]
    seals: Callable[[], SealStore]


def build_memory() -> Adapter:
    def hold(store: Any) -> Callable[[], Any]:
        return lambda: store

    return Adapter(
        hold(memory.MemoryLog()),
        hold(memory.MemoryPayloads()),
        hold(memory.MemoryModels()),
        hold(memory.MemoryBlocks(GENESIS_HEAD)),
        hold(memory.MemorySeals()),
    )


def build_filesystem(root: Path) -> Adapter:
    return Adapter(
        lambda: filesystem.FileLog(root / "log"),
        lambda: filesystem.FilePayloads(root / "payloads"),
        lambda: filesystem.FileModels(root / "models"),
        lambda: filesystem.FileBlocks(root / "blocks", GENESIS_HEAD),
        lambda: filesystem.FileSeals(root / "seals", lambda: None),
    )


@pytest.fixture(params=["memory", "filesystem"])
def adapter(request: pytest.FixtureRequest, tmp_path: Path) -> Adapter:
    return build_memory() if request.param == "memory" else build_filesystem(tmp_path)
