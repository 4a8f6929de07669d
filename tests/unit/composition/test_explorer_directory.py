"""An explorer of a run's directory that somebody forged: what stands in it is shown under its place, and as broken."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from flobc.adapters.filesystem.stores import get_block_path
from flobc.composition.explorer import following
from flobc.composition.explorer.explorer import Explorer
from flobc.composition.explorer.index import Index
from flobc.composition.explorer.serving import WebServer
from flobc.composition.explorer.sources import DirectorySource
from flobc.protocol.encoding import encode
from tests.support.explored import PATIENCE_S, ExploredChain

BLOCKS, FORGED = 4, 3


def build_directory(root: Path, forged_height: int) -> Path:
    """A run's directory; the block in one place says that it has another height."""
    world = ExploredChain()
    world.grow(BLOCKS)
    (root / "blocks").mkdir(parents=True)
    (root / "settings.json").write_text("{}")
    (root / "genesis").write_bytes(encode(world.chain.genesis))
    for block in world.chain.blocks:
        found = block
        if block.height == FORGED:
            found = replace(block, header=replace(block.header, height=forged_height))
        get_block_path(root / "blocks", block.height).write_bytes(encode(found))
    return root


def wait_for(condition: Callable[[], bool]) -> None:
    until_s = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < until_s
        time.sleep(0.005)


@pytest.mark.parametrize("height", [1, 2**64 - 1])
def test_a_block_in_the_place_of_another_is_broken_and_the_chain_goes_on(tmp_path: Path, height: int) -> None:
    """CHAIN-8."""
    explorer = Explorer(DirectorySource(build_directory(tmp_path / "run", height)), is_trusted=True)
    server = WebServer(explorer)
    try:
        with httpx.Client(base_url=server.start("127.0.0.1:0"), timeout=PATIENCE_S) as client:
            wait_for(lambda: explorer.index.height == BLOCKS or explorer.follower.condition.trouble is not None)
            assert explorer.follower.condition.trouble is None
            assert [row["height"] for row in explorer.queries.stream_blocks()] == list(range(1, BLOCKS + 1))
            sentence = f"CHAIN-8: in the place of block {FORGED} stands one that says it is {height}"
            page = client.get(f"/blocks/{FORGED}").text
            assert sentence in page
            assert f"<h1>Block {FORGED}</h1>" in page
            update = next(row["id"] for row in explorer.queries.stream_updates() if row["height"] == FORGED)
            assert sentence in client.get(f"/updates/{update.hex()}").text
            assert "CHAIN-8" not in client.get("/blocks/2").text
    finally:
        server.stop()


def test_whatever_ends_the_following_is_told_and_tried_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "RETRY_S", 0.01)
    add = Index.add

    def fail(*_: object) -> None:
        raise OverflowError("too large")

    monkeypatch.setattr(Index, "add", fail)
    explorer = Explorer(DirectorySource(build_directory(tmp_path / "run", FORGED)), is_trusted=True)
    explorer.start()
    try:
        wait_for(lambda: explorer.follower.condition.trouble is not None)
        assert "too large" in str(explorer.follower.condition.trouble)
        monkeypatch.setattr(Index, "add", add)
        wait_for(lambda: explorer.index.height == BLOCKS)
        wait_for(lambda: explorer.follower.condition.trouble is None)
    finally:
        explorer.close()
