"""What every service that follows the log counts of it."""

from __future__ import annotations

import time
from collections import deque

from flobc.composition.services.names import build_validator_names
from flobc.composition.services.standing import Standing
from flobc.errors import RemoteProtocolError
from flobc.ports.metrics import Meter
from flobc.protocol.chain.block import Block, Reason
from flobc.protocol.consensus.state import ChainState, get_active_trainers
from flobc.protocol.messages import Evidence, Ready, Seal, UpdateHeader, decode_record
from flobc.protocol.params import Genesis, get_chain_id, get_quorum

SHOWN_DIGITS = 16
"""How many hexadecimal digits of a head's digest a log line shows: enough to tell two heads apart."""
HEARD_ROUNDS = 5
"""Over how many rounds a validator counts as heard: a slow one that comes too late now and then is not away."""
_LATE_RULES = ("ROUND-13", "ROUND-14", "ROUND-15")
"""What a genuine ready or seal breaks that came after a quorum of others: every round has some."""
_LATE_TYPES = (3, 4)
"""First bytes of readys and seals (WIRE-10): only these are worth decoding again."""


def describe_chain(meter: Meter, genesis: Genesis) -> None:
    """Enter what the genesis says, to join other metrics on."""
    params = genesis.params
    meter.set(
        "flobc_config_info",
        1,
        chain=get_chain_id(genesis).hex()[:SHOWN_DIGITS],
        task=genesis.task,
        ratio=f"{len(genesis.trainers)}:{len(genesis.validators)}",
        sync=params.sync.scheme,
        trust=params.trust.policy,
        rule=params.aggregation.rule,
        codec=params.codec,
    )
    meter.set("flobc_round_period_seconds", params.sync.period_ms / 1000)
    meter.set("flobc_validators", len(genesis.validators))
    meter.set("flobc_quorum", get_quorum(len(genesis.validators)))


def note_height(meter: Meter, height: int) -> None:
    """Enter the height of the newest certified block, and that it is known from now on."""
    meter.set("flobc_height", height)
    meter.set("flobc_last_block_timestamp_seconds", time.time())


class Progress:
    """Enters every step of the chain into the metrics; its methods run on the loop.

    What is read again after a restart was counted when it happened: until ``live`` it moves gauges alone. A ledger
    whose store was wiped reads its whole log once more, which moves nothing. It begins with ``state``, whose block is
    taken for a new one: how old it is nobody knows.
    """

    def __init__(self, meter: Meter, state: ChainState) -> None:
        self._meter = meter
        self._names = build_validator_names(state.genesis.validators)
        self._standing = Standing(meter, self._names)
        self._heard: deque[set[bytes]] = deque([set()], maxlen=HEARD_ROUNDS)
        self._passed_s: float | None = None
        self._last_s: float | None = None
        self._newest = state.height
        self.live = False
        describe_chain(meter, state.genesis)
        note_height(meter, state.height)
        self._begin_counters()

    def _begin_counters(self) -> None:
        """Begin at 0 what alerts look at: of a counter that begins at 1 nobody sees that it grew."""
        for name in self._names.values():
            self._meter.add("flobc_ready_mismatches_total", 0, validator=name)
        for role in ("trainer", "validator"):
            self._meter.add("flobc_evidence_total", 0, role=role)
        for reason in Reason:
            self._meter.add("flobc_updates_decided_total", 0, reason=reason.name.lower())

    def on_record(self, before: ChainState, after: ChainState) -> None:
        """Take note of a record that moved the chain; of none that is read a second time."""
        has_block = after.head is not before.head
        if after.height < self._newest + has_block:
            return
        if after.core.reports is not before.core.reports:
            self._standing.on_reports(after.core.reports)
        if has_block:
            self._end_stage("seal")
            self._on_block(after)
        closed = after.closed
        if closed is None:
            return
        if before.closed is None or before.closed.height != closed.height:
            self._end_stage("collect")
        elif closed.locked is not None and before.closed.locked is None:
            self._end_stage("aggregate")
            for key, model in closed.readys.items():
                self._compare(key, model, closed.locked)
            self._heard[-1].update(closed.readys)

    def on_refused(self, state: ChainState, record: bytes, rule: str) -> None:
        """Take note of a record that changed nothing."""
        if not self.live or state.height < self._newest:
            return
        self._meter.add("flobc_records_refused_total", rule=rule)
        if rule in _LATE_RULES and record[0] in _LATE_TYPES:
            self._on_late(state, record)

    def _on_late(self, state: ChainState, record: bytes) -> None:
        """A validator that is slower than the quorum is there all the same, and may be wrong all the same."""
        try:
            message = decode_record(record)
        except RemoteProtocolError:
            return
        if not isinstance(message, Ready | Seal) or message.height < state.height:
            return
        self._heard[-1].add(message.validator)
        if isinstance(message, Ready):
            if state.closed is not None and message.height == state.closed.height:
                self._compare(message.validator, message.model, state.closed.locked or message.model)
            elif message.height == state.height:
                self._compare(message.validator, message.model, state.head.header.model)

    def _compare(self, validator: bytes, model: bytes, agreed: bytes) -> None:
        if self.live and model != agreed:
            self._meter.add("flobc_ready_mismatches_total", validator=self._names[validator])

    def _end_stage(self, stage: str) -> None:
        now_s = time.monotonic()
        if self.live and self._passed_s is not None:
            self._meter.observe("flobc_round_stage_seconds", now_s - self._passed_s, stage=stage)
        self._passed_s = now_s

    def _on_block(self, state: ChainState) -> None:
        block, meter = state.head, self._meter
        self._newest = block.height
        note_height(meter, block.height)
        meter.set("flobc_updates_pending", len(state.core.pending))
        meter.set("flobc_trainers", len(state.core.trainers), standing="admitted")
        meter.set("flobc_trainers", len(get_active_trainers(state)), standing="active")
        self._heard[-1].update(vote.validator for votes in block.body.votes for vote in votes.votes)
        self._heard[-1].update(seal.validator for seal in block.certificate)
        meter.set("flobc_validators_heard", len(set().union(*self._heard)))
        self._heard.append(set())
        self._standing.on_block(state, live=self.live)
        if self.live:
            self._count(block)

    def _count(self, block: Block) -> None:
        now_s, meter = time.monotonic(), self._meter
        if self._last_s is not None:
            meter.observe("flobc_round_seconds", now_s - self._last_s)
        self._last_s = now_s
        meter.add("flobc_rounds_closed_total", closing=block.header.closing.name.lower())
        for decision in block.body.decisions:
            meter.add("flobc_updates_decided_total", reason=decision.reason.name.lower())
            meter.observe("flobc_update_staleness_rounds", decision.staleness)
        for seal in block.certificate:
            meter.add("flobc_seals_total", validator=self._names[seal.validator])
        for evidence in block.body.evidence:
            meter.add("flobc_evidence_total", role=get_convicted_role(evidence))


def get_convicted_role(evidence: Evidence) -> str:
    """Return whom evidence convicts: a trainer by two headers of one identity, else a validator."""
    return "trainer" if isinstance(decode_record(evidence.first), UpdateHeader) else "validator"
