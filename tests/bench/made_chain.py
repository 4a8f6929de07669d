"""A long chain whose every signature and root is right, made without learning: what an explorer has to show."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from flobc.adapters.memory import MemoryBlocks, MemoryModels, MemoryStates
from flobc.protocol.chain.block import (
    Block,
    Body,
    Closing,
    CountedVote,
    CountedVotes,
    Decision,
    Header,
    Reason,
    compute_decisions_root,
    compute_evidence_root,
    compute_header_digest,
)
from flobc.protocol.consensus.state import build_initial_state
from flobc.protocol.encoding import compute_digest, encode
from flobc.protocol.messages import Fault, Seal, UpdateHeader, compute_update_id, sign
from flobc.protocol.params import get_quorum
from tests.support.dialogue import Chain, digest

TRAINERS, VALIDATORS = 10, 4


class MadeChain:
    """Stores of a ledger, and the next block whenever one is asked for."""

    def __init__(self) -> None:
        self._chain = Chain(VALIDATORS, TRAINERS)
        self.genesis = self._chain.genesis
        initial = build_initial_state(self.genesis)
        self._head, self._core = initial.head_digest, encode(initial.core)
        self.blocks, self.states, self.models = MemoryBlocks(self._head), MemoryStates(), MemoryModels()
        self._state = initial.head.header.state
        self.states.put(self._state, self._core)
        self.models.put(self.genesis.initial_model, np.zeros(4, dtype=np.int32))

    def grow(self, count: int) -> None:
        for _ in range(count):
            block = self._build_block(self.blocks.height + 1)
            assert self.blocks.append(block)
            self._head = compute_header_digest(block.header)

    def _build_block(self, height: int) -> Block:
        parts = list(self._build_updates(height))
        body = Body(
            tuple(item[1] for item in parts), tuple(item[0] for item in parts), tuple(item[2] for item in parts), ()
        )
        header = Header(
            chain=self._chain.state.chain,
            height=height,
            parent=self._head,
            closing_position=height * 20,
            log_digest=digest("log", height),
            num_decisions=len(body.decisions),
            decisions_root=compute_decisions_root(body.decisions),
            evidence_root=compute_evidence_root(()),
            state=self._state,
            model=digest("model", height),
            closing=Closing.COMPLETE,
            step=0,
            loss=2_000_000 * 100 // (height + 100),
            accuracy=950_000 - 70_000_000 // (height + 100),
        )
        found = compute_header_digest(header)
        signers = self._chain.validators[: get_quorum(VALIDATORS)]
        seals = tuple(sign(Seal(header.chain, key.public_key, height, found), key) for key in signers)
        return Block(header, seals, body)

    def _build_updates(self, height: int) -> Iterator[tuple[UpdateHeader, Decision, CountedVotes]]:
        for place in range(TRAINERS):
            header = self._chain.update(place, height - 1)
            score = 1000 * (place + 1) - height % 7 * 500
            votes = CountedVotes(
                tuple(
                    CountedVote(key.public_key, score + 1000 * (number - 1), Fault.NONE, 200 + 10 * number)
                    for number, key in enumerate(self._chain.validators)
                )
            )
            decision = Decision(
                update=compute_update_id(header),
                trainer=header.trainer,
                base_height=height - 1,
                k=0,
                reason=Reason.ACCEPTED,
                fault=Fault.NONE,
                score=score,
                staleness=0,
                discount=65_536,
                weight=2**20 // TRAINERS,
                votes=compute_digest(votes),
            )
            yield header, decision, votes
