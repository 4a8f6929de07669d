"""Replays an archive with the parts of an embedded run: its follower, its engine, its ledger, and no service."""

from __future__ import annotations

from flobc.adapters.memory import MemoryBlocks, MemoryLog, MemoryModels, MemoryPayloads
from flobc.learning.tasks import get_task
from flobc.ports.archive import ChainArchive
from flobc.protocol.chain.block import Block
from flobc.protocol.consensus.state import build_initial_state
from flobc.runtime.engine import LearningEngine
from flobc.runtime.follower import ChainFollower
from flobc.runtime.ledger_node import LedgerNode


def replay(archive: ChainArchive) -> tuple[list[Block], dict[int, bytes]]:
    """The blocks that the archive's log leads to, and the digest of the model that its payloads make at each height.

    Models are made when the log closes a round, as validators make them: from the model before and the closed round,
    not from what any block says.
    """
    genesis = archive.genesis
    state = build_initial_state(genesis)
    log, models, payloads, blocks = MemoryLog(), MemoryModels(), MemoryPayloads(), MemoryBlocks(state.head_digest)
    first = archive.model(genesis.initial_model)
    assert first is not None
    models.put(genesis.initial_model, first)
    engine = LearningEngine(get_task(genesis.task), genesis, models, payloads)
    ledger = LedgerNode(blocks)
    follower = ChainFollower(log, state, ledger.step)
    made: dict[int, bytes] = {0: genesis.initial_model}
    for record in archive.records():
        log.append(record)
        follower.catch_up()
        closed = follower.state.closed
        if closed is None or closed.height in made or closed.height > archive.height:
            continue
        for decision in closed.body.decisions:
            payload = archive.payload(decision.update)
            assert payload is not None, f"the payload of {decision.update.hex()[:12]} is not in {archive.name}"
            payloads.put(decision.update, payload)
        made[closed.height] = engine.aggregate(closed, made[closed.height - 1])
    found = [block for height in range(1, blocks.height + 1) if (block := blocks.get(height)) is not None]
    return found, made
