"""BlockStore: blocks by height, appended by compare-and-set on the head."""

from __future__ import annotations

import dataclasses

import pytest

from flobc.ports.blocks import BlockStore
from flobc.protocol.chain.block import EMPTY_BODY, Block, Closing, Header, compute_header_digest
from tests.contract.conftest import GENESIS_HEAD, LedgerAdapter
from tests.support.dialogue import digest


def build_chain(count: int, model: str = "model") -> list[Block]:
    """Blocks that name one another; certificates are not the store's business."""
    blocks: list[Block] = []
    for height in range(1, count + 1):
        parent = compute_header_digest(blocks[-1].header) if blocks else GENESIS_HEAD
        header = Header(
            chain=bytes(32),
            height=height,
            parent=parent,
            closing_position=height,
            log_digest=bytes(32),
            num_decisions=0,
            decisions_root=bytes(32),
            evidence_root=bytes(32),
            state=bytes(32),
            model=digest(model, height),
            closing=Closing.COMPLETE,
            step=0,
            loss=None,
            accuracy=None,
        )
        blocks.append(Block(header, (), EMPTY_BODY))
    return blocks


@pytest.fixture
def store(ledger_adapter: LedgerAdapter) -> BlockStore:
    return ledger_adapter.blocks()


def test_holds_only_the_genesis_at_first(store: BlockStore) -> None:
    assert store.height == 0
    assert [store.get(height) for height in (-1, 0, 1)] == [None, None, None]


def test_returns_what_was_appended(ledger_adapter: LedgerAdapter, store: BlockStore) -> None:
    blocks = build_chain(3)
    assert [store.append(block) for block in blocks] == [True, True, True]
    for opened in (store, ledger_adapter.blocks()):
        assert opened.height == 3
        assert [opened.get(height) for height in (1, 2, 3)] == blocks
        assert opened.get(4) is None


def test_append_is_a_compare_and_set_on_the_head(store: BlockStore) -> None:
    """Several replicas may write: the one that comes second changes nothing."""
    blocks, others = build_chain(3), build_chain(3, "another model")
    assert not store.append(blocks[1])
    assert store.append(blocks[0])
    assert not store.append(blocks[0])
    assert not store.append(others[0])
    assert not store.append(others[1])
    assert not store.append(blocks[2])
    assert store.append(blocks[1])
    assert [store.get(height) for height in (1, 2, 3)] == [*blocks[:2], None]


def test_invalid_height_on_the_right_parent(store: BlockStore) -> None:
    first, second = build_chain(2)
    store.append(first)
    jumping = dataclasses.replace(second, header=dataclasses.replace(second.header, height=5))
    assert not store.append(jumping)
    assert store.height == 1


def test_a_store_opened_again_goes_on_at_its_head(ledger_adapter: LedgerAdapter, store: BlockStore) -> None:
    blocks = build_chain(3)
    store.append(blocks[0])
    store.append(blocks[1])
    again = ledger_adapter.blocks()
    assert not again.append(build_chain(3, "another model")[2])
    assert again.append(blocks[2])
