"""A world's validator: the services' parts around a node, with a virtual network in place of Kafka."""

from __future__ import annotations

import heapq
import itertools
from dataclasses import dataclass

from flobc.ports.scheduler import Scheduler
from flobc.ports.seals import SealStore
from flobc.ports.topics import Entry
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.identity import Identity
from flobc.protocol.messages import UpdateHeader
from flobc.runtime.durations import Durations
from flobc.runtime.live_follower import Appender, LiveFollower
from flobc.runtime.local_scorer import LocalScorer
from flobc.runtime.scorer import Scorer
from flobc.runtime.validator_node import ValidatorNode, ValidatorParts
from flobc.simulation.clocks import NodeClock
from flobc.simulation.shared_log import SharedLog


class BatchScorer(LocalScorer):
    """Scores one batch at a time, in one pass: what waits meanwhile makes the next one."""

    max_jobs = 1
    batch_size = 64


@dataclass(frozen=True)
class ValidatorWorld:
    """What a validator is made of; ``drift_ppm`` and ``offset_ms`` say how far its clock is off."""

    identity: Identity
    scorer: Scorer
    log: Appender
    shared: SharedLog
    seals: SealStore
    durations: Durations
    clock: Scheduler
    poll_ms: int
    drift_ppm: int
    offset_ms: int


class VirtualValidator:
    """One validator from a start to its end; after a crash there is another one with the same key."""

    def __init__(self, world: ValidatorWorld, state: ChainState, offset: int) -> None:
        self._world = world
        self._inbox: list[tuple[int, int, UpdateHeader | Entry]] = []
        self._order = itertools.count()
        self._planned: set[int] = set()
        self._clock = NodeClock(world.clock, self._step, world.drift_ppm, world.offset_ms)
        self._follower = LiveFollower(world.log, state, self._clock, offset, world.shared.apply)
        self._node = ValidatorNode(
            ValidatorParts(world.identity, world.scorer, self._follower, self._clock, world.seals, world.durations)
        )
        self._follower.on_commit = self._on_commit
        self._follower.on_refused = lambda record, _rule: self._node.on_refused(record)
        self._follower.on_lost = self._node.wake
        world.clock.call_later(0, self._poll)

    @property
    def height(self) -> int:
        """How far it knows the chain."""
        return self._follower.state.height

    @property
    def offset(self) -> int:
        """How far it has read the log."""
        return self._follower.offset

    def take_record(self, at_ms: int, offset: int, record: bytes) -> None:
        """Let a record of the log arrive; they arrive in order."""
        self._deliver(at_ms, Entry(0, offset, record))

    def take_payload(self, at_ms: int, header: UpdateHeader) -> None:
        """Let an update's whole payload arrive."""
        self._deliver(at_ms, header)

    def stop(self) -> None:
        """End it at once, whatever it does."""
        self._clock.stop()
        self._inbox.clear()

    def _deliver(self, at_ms: int, item: UpdateHeader | Entry) -> None:
        """Have it found when the validator looks next: what has come meanwhile is taken together."""
        world = self._world
        heapq.heappush(self._inbox, (at_ms, next(self._order), item))
        tick_ms = -(-at_ms // world.poll_ms) * world.poll_ms
        if tick_ms not in self._planned:
            self._planned.add(tick_ms)
            world.clock.call_later(tick_ms - world.clock.now_ms, self._poll)

    def _poll(self) -> None:
        now_ms = self._world.clock.now_ms
        self._planned.discard(now_ms)
        has_read = self._follower.offset
        headers: list[UpdateHeader] = []
        while self._inbox and self._inbox[0][0] <= now_ms:
            item = heapq.heappop(self._inbox)[2]
            if isinstance(item, UpdateHeader):
                headers.append(item)
                continue
            self._take_payloads(headers)
            self._follower.take([item])
        self._take_payloads(headers)
        # Of payloads alone nothing follows while the scorer is at work: what waits meanwhile makes its next batch.
        is_waiting = self._follower.offset == has_read and self._clock.jobs["score"] > 0
        if self._clock.is_running and not is_waiting:
            self._step()

    def _take_payloads(self, headers: list[UpdateHeader]) -> None:
        if headers:
            self._node.on_payloads(headers)
            headers.clear()

    def _step(self) -> None:
        self._node.step()

    def _on_commit(self, state: ChainState) -> None:
        del state
        self._node.on_commit()
