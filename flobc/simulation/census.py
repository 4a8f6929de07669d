"""Counts what happens in a world, round by round, and tells whoever watches."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping

from flobc.composition.genesis import Federation
from flobc.composition.reports import Observer, RoundReport, TestReport, build_trainer_reports, get_trust_shares
from flobc.composition.settings import RunSettings, describe_fault_tolerance
from flobc.learning.attacks import Attack
from flobc.learning.task import Evaluation
from flobc.ports.scheduler import Scheduler
from flobc.protocol.chain.block import Reason
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.trust.weights import WEIGHT_ONE
from flobc.simulation.results import RoundRow, TrainerRow, add_test, build_row
from flobc.simulation.shards import LazyShards
from flobc.simulation.speeds import Speeds


class Census:
    """Rows of rounds and trainers; it only looks, so nothing on the chain depends on it."""

    def __init__(
        self,
        settings: RunSettings,
        federation: Federation,
        attacks: Mapping[int, Attack],
        observer: Observer,
        clock: Scheduler,
    ) -> None:
        self._settings = settings
        self._federation = federation
        self._attacks = attacks
        self._observer = observer
        self._clock = clock
        self._indices = {key.public_key: index for index, key in enumerate(federation.trainers)}
        self._attack_names = {federation.trainers[index].public_key: item.name for index, item in attacks.items()}
        self._rows: dict[int, RoundRow] = {}
        self._accepted: Counter[bytes] = Counter()
        self._rejected: Counter[bytes] = Counter()
        self._weights: Counter[bytes] = Counter()
        self._last = (0.0, 0, 0)
        self._rounds = 0
        self.tests: dict[int, TestReport] = {}

    @property
    def rows(self) -> tuple[RoundRow, ...]:
        """One row a block, with its test where it was made."""
        tests = self.tests
        return tuple(
            add_test(row, tests[height].loss, tests[height].accuracy) if height in tests else row
            for height, row in sorted(self._rows.items())
        )

    def on_start(self, state: ChainState, rounds: int) -> None:
        """Take note that time begins."""
        self._rounds = rounds
        self._last = (time.monotonic(), 0, 0)
        self._observer.on_start(state, rounds, describe_fault_tolerance(self._settings.validators))

    def on_commit(self, state: ChainState, log_bytes: int, awake: int) -> None:
        """Count a block that was certified just now; ``log_bytes`` are those of the whole log."""
        (last_s, last_ms, last_bytes), now_ms = self._last, self._clock.now_ms
        self._last = (time.monotonic(), now_ms, log_bytes)
        row = self._rows[state.height] = build_row(state, now_ms, log_bytes - last_bytes, awake)
        for decision in state.head.body.decisions:
            if decision.reason is Reason.ACCEPTED:
                self._accepted[decision.trainer] += 1
                self._weights[decision.trainer] += decision.weight
            elif decision.reason in (Reason.FAULT, Reason.LOW_SCORE):
                self._rejected[decision.trainer] += 1
        report = RoundReport(
            height=row.height,
            rounds=self._rounds,
            closing=row.closing,
            accepted=row.accepted,
            rejected=len(state.head.rejected),
            loss=row.loss,
            accuracy=row.accuracy,
            payload_bytes=row.payload_bytes,
            seconds=self._last[0] - last_s,
            virtual_ms=now_ms - last_ms,
            trainers=build_trainer_reports(state, self._indices, self._attack_names),
        )
        self._observer.on_round(report)

    def on_test(self, height: int, evaluation: Evaluation) -> None:
        """Take note of what a model is worth on the test set."""
        self.tests[height] = TestReport(height, evaluation.loss, evaluation.accuracy)
        self._observer.on_test(self.tests[height])

    def build_trainer_rows(self, state: ChainState, shards: LazyShards, speeds: Speeds) -> tuple[TrainerRow, ...]:
        """Return a row for each trainer, admitted or not."""
        shares = get_trust_shares(state)
        blocks = max(1, state.height)
        rows = []
        for index, identity in enumerate(self._federation.trainers):
            key = identity.public_key
            attack = self._attacks.get(index)
            rows.append(
                TrainerRow(
                    trainer=index,
                    key=key.hex(),
                    examples=shards.count_trainer(index),
                    training_ms=round(speeds.get_mean_ms(index)),
                    trust_share=shares.get(key, 0.0),
                    weight_share=self._weights[key] / WEIGHT_ONE / blocks,
                    accepted=self._accepted[key],
                    rejected=self._rejected[key],
                    attack="" if attack is None else attack.name,
                )
            )
        return tuple(rows)
