"""The embedded run: every trainer, validator and ledger of a chain in one process (``flobc run``)."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from weakref import WeakValueDictionary

import numpy as np

from flobc.composition.genesis import Federation, Shards
from flobc.composition.knowledge import Omniscience
from flobc.composition.reports import Observer, RoundReport, TestReport, build_trainer_reports
from flobc.composition.retention import Retention
from flobc.composition.settings import RunSettings, describe_fault_tolerance
from flobc.composition.stores import Stores
from flobc.errors import DataError, FlobcError, UsageError
from flobc.learning.attacks import Attack, KnowingAttack, parse_attack
from flobc.learning.determinism import one_thread, single_threaded
from flobc.learning.task import Evaluation
from flobc.numerics.parallel import available_cores, inline, run_inline
from flobc.ports.payloads import Payload
from flobc.ports.scheduler import Scheduler
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.messages import UpdateHeader, compute_update_id
from flobc.protocol.params import SCORE_ONE
from flobc.protocol.sync.policies import is_base_allowed
from flobc.runtime.assembly import is_genuine
from flobc.runtime.durations import Durations
from flobc.runtime.engine import LearningEngine
from flobc.runtime.follower import ChainFollower
from flobc.runtime.ledger_node import LedgerNode
from flobc.runtime.local_scorer import LocalScorer
from flobc.runtime.local_updates import LocalUpdate
from flobc.runtime.memory import keep_freed_memory
from flobc.runtime.scheduling import VirtualScheduler, WallScheduler
from flobc.runtime.seeds import derive_seed
from flobc.runtime.trainer_node import TrainerNode, TrainerParts
from flobc.runtime.validator_node import ValidatorNode, ValidatorParts

NETWORK_MS = 5
"""Virtual time between publishing a payload and having it at every validator."""
TEST_MS = 1
"""Virtual time of a test; it touches nothing on the chain."""


def build_executor(workers: int) -> ThreadPoolExecutor:
    """Return the workers: one per core unless a number is given, each computing on its own thread alone."""

    keep_freed_memory()

    def prepare() -> None:
        single_threaded()
        run_inline()

    return ThreadPoolExecutor(workers or available_cores(), "flobc-worker", initializer=prepare)


def build_attacks(settings: RunSettings) -> dict[int, Attack]:
    """Return who attacks and how; attackers are taken from the highest index down. **Raises** UsageError."""
    attacks: dict[int, Attack] = {}
    free = list(range(settings.trainers))
    for text in settings.attacks:
        spec = parse_attack(text)
        count = spec.count_attackers(settings.trainers)
        if count > len(free):
            raise UsageError(
                f"The attacks ask for more than the {settings.trainers} trainers there are; lower their fractions."
            )
        for index in free[len(free) - count :]:
            attacks[index] = spec.attack
        del free[len(free) - count :]
    return attacks


class EmbeddedRun:
    """All nodes of one chain on one scheduler, sharing one engine and one view of the log."""

    def __init__(
        self,
        settings: RunSettings,
        federation: Federation,
        shards: Shards,
        stores: Stores,
        observer: Observer,
    ) -> None:
        self._settings = settings
        self._federation = federation
        self._shards = shards
        self._stores = stores
        self._observer = observer
        self._attacks = build_attacks(settings)
        self._executor = build_executor(settings.workers)
        self._scheduler: Scheduler = (
            WallScheduler(self._executor) if settings.clock == "wall" else VirtualScheduler(self._executor)
        )
        self._received: set[bytes] = set()
        self._own_payloads: WeakValueDictionary[bytes, Payload] = WeakValueDictionary()
        self._last_commit = (time.monotonic(), 0)
        self.tests: dict[int, TestReport] = {}
        if stores.models.get(federation.genesis.initial_model) is None:
            stores.models.put(federation.genesis.initial_model, federation.initial_model)
        self._ledger = LedgerNode(stores.blocks)
        self._engine = LearningEngine(federation.task, federation.genesis, stores.models, stores.payloads)
        self._retention = Retention(
            self._engine, None if stores.keeps_payloads else stores.payloads, federation.genesis.initial_model
        )
        self._omniscience = Omniscience(
            self._engine, federation, shards.trainers.__getitem__, stores.blocks, settings.seed, self._attacks.keys()
        )
        if any(isinstance(attack, KnowingAttack) for attack in self._attacks.values()):
            self._engine.remember_training()
        self._follower = ChainFollower(stores.log, build_initial_state(federation.genesis), self._record_block)
        sync = federation.genesis.params.sync
        self._repeats = settings.clock == "virtual" and sync.scheme == "bsp" and not is_base_allowed(sync, 0, 1)
        self._signed: dict[tuple[bytes, int, int], bytes] = {}
        if self._repeats:
            self._follower.go_back()
        else:
            self._follower.catch_up()
        self._follower.on_commit = self._on_commit
        self._follower.on_refused = self._on_refused
        self._validators = [self._build_validator(index) for index in range(settings.validators)]
        self._trainers = [self._build_trainer(index) for index in range(settings.trainers)]
        self._restore_updates()

    @property
    def state(self) -> ChainState:
        """The chain at the end of the log."""
        return self._follower.state

    def run(self, rounds: int) -> None:
        """Go on until the chain has ``rounds`` blocks and the last model is tested.

        **Raises** FlobcError when nothing is left that could ever close the next round.
        """
        self._observer.on_start(self.state, rounds, describe_fault_tolerance(self._settings.validators))
        self._rounds = rounds
        self._test_model()

        def finished() -> bool:
            height = self.state.height
            if height < rounds:
                self._step_all()
                return False
            return height in self.tests

        # The loop does short jobs itself, and must then compute as the workers do.
        with one_thread(), inline():
            if not self._scheduler.run_until(finished):
                raise FlobcError(self._explain_stop())

    def _explain_stop(self) -> str:
        diverged = sum(trainer.has_diverged for trainer in self._trainers)
        if self.state.closed is None and diverged == len(self._trainers):
            return (
                f"The chain stopped at height {self.state.height}: every trainer's update became infinite or no "
                "number; lower the learning rate."
            )
        return explain_stop(self.state)

    def close(self) -> None:
        """Stop the workers; what is still being computed is thrown away."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _build_validator(self, index: int) -> ValidatorNode:
        return ValidatorNode(
            ValidatorParts(
                identity=self._federation.validators[index],
                scorer=LocalScorer(self._engine, self._shards.validators[index], self._federation.genesis),
                follower=self._follower,
                scheduler=self._scheduler,
                seals=self._stores.seals,
                durations=Durations(self._settings.seed),
            )
        )

    def _build_trainer(self, index: int) -> TrainerNode:
        shard, attack = self._shards.trainers[index], self._attacks.get(index)
        if attack is not None:
            seed = derive_seed(self._settings.seed, "attack", index)
            shard = attack.poison_examples(shard, np.random.Generator(np.random.PCG64(seed)))
        return TrainerNode(
            TrainerParts(
                index=index,
                identity=self._federation.trainers[index],
                shard=shard,
                settings=self._federation.training,
                seed=self._settings.seed,
                engine=self._engine,
                follower=self._follower,
                scheduler=self._scheduler,
                durations=Durations(self._settings.seed),
                publish=self._publish,
                on_signed=self._remember_own,
                attack=attack,
                know=self._omniscience.know,
            )
        )

    def _restore_updates(self) -> None:
        """Hand back what was published before a restart: trainers must not sign it twice, validators may score it.

        Under ``bsp`` and the virtual clock nothing is under way when a round opens. There the open round is repeated
        from its beginning, so that a stopped run goes on to the same blocks.
        """
        for header in self._stores.payloads.list_headers():
            if self._repeats:  # a power cut may have taken more of the log than of the payloads
                self._signed[header.trainer, header.base_height, header.k] = compute_update_id(header)
                continue
            if not is_base_allowed(self.state.params.sync, header.base_height, self.state.height):
                continue
            for identity, trainer in zip(self._federation.trainers, self._trainers, strict=True):
                if identity.public_key == header.trainer:
                    trainer.on_own_header(header)
            self._deliver(header)

    def _step_all(self) -> None:
        """Let every node do what it owes until nobody has anything left that moves the chain.

        With the last block the run is over: nobody begins work whose result nobody would wait for.
        """
        moved = [True]
        while self.state.height < self._rounds and any(moved):
            moved = [node.step() for node in self._validators]
        for trainer in self._trainers if self.state.height < self._rounds else ():
            trainer.step()

    def _publish(self, payload: Payload) -> None:
        """Carry a payload to the validators.

        What its trainer did not sign, or what does not match the signed root, is ignored and never
        stored: anyone could have sent it, and it would take the real payload's place (ROUND-4).
        """

        header = payload.header
        before = self._signed.get((header.trainer, header.base_height, header.k))
        if before is not None and before != compute_update_id(header):
            stored = self._load_genuine(before)
            if stored is None:
                return
            payload = stored  # what was signed first stands, or nothing (ROUND-2)
        update = compute_update_id(payload.header)

        def receive() -> bool:
            genuine = self._own_payloads.get(update) is payload or is_genuine(payload)
            if genuine and (update != before or self._load_genuine(update) is None):
                self._stores.payloads.put(update, payload)
            return genuine

        def arrive(genuine: bool) -> None:
            if genuine:
                self._deliver(payload.header)

        self._scheduler.submit("receive", receive, NETWORK_MS, arrive)

    def _load_genuine(self, update: bytes) -> Payload | None:
        """Return a stored payload unless a crash has damaged it."""
        try:
            payload = self._stores.payloads.get(update)
        except DataError:
            return None
        return payload if payload is not None and is_genuine(payload) else None

    def _remember_own(self, payload: Payload, made: LocalUpdate) -> None:
        """Keep what all receivers would decode and build: whoever encoded it has had it in hand.

        This process has just hashed these bytes and signed their root, so hashing them again would prove nothing;
        a payload from anywhere else is checked when it arrives.
        """
        self._own_payloads[compute_update_id(payload.header)] = payload
        self._engine.remember_own(compute_update_id(payload.header), made)

    def _deliver(self, header: UpdateHeader) -> None:
        self._received.add(compute_update_id(header))
        self._retention.on_update(header)
        for validator in self._validators:
            validator.on_payloads([header])
        view = self.state.round_view
        self._observer.on_update(
            self.state.height + 1, len(self._received), len(view.decided_trainers), len(view.active)
        )

    def _record_block(self, state: ChainState) -> None:
        self._retention.on_block(state.height, state.head.header.model)
        self._ledger.step(state)

    def _on_refused(self, record: bytes) -> None:
        for validator in self._validators:
            validator.on_refused(record)

    def _on_commit(self, state: ChainState) -> None:
        self._record_block(state)
        for validator in self._validators:
            validator.on_commit()
        self._retention.on_commit(state)
        self._observer.on_round(self._build_report(state))
        self._received.clear()
        self._test_model()

    def _test_model(self) -> None:
        """Measure the head on the test set, which nobody on the chain holds."""
        height, model = self.state.height, self.state.head.header.model
        if height in self.tests:
            return
        view = self._engine.get_view(model)

        def tested(evaluation: Evaluation) -> None:
            self.tests[height] = TestReport(height, evaluation.loss, evaluation.accuracy)
            self._observer.on_test(self.tests[height])

        def test() -> Evaluation:
            return self._federation.task.evaluate(view.vector, self._shards.test)

        self._scheduler.submit("test", test, TEST_MS, tested)

    def _build_report(self, state: ChainState) -> RoundReport:
        now_s, now_ms = time.monotonic(), self._scheduler.now_ms
        (last_s, last_ms), self._last_commit = self._last_commit, (now_s, now_ms)
        names = {identity.public_key: index for index, identity in enumerate(self._federation.trainers)}
        attackers = {self._federation.trainers[index].public_key: attack for index, attack in self._attacks.items()}
        return RoundReport(
            height=state.height,
            rounds=self._rounds,
            closing=state.head.header.closing.name.lower(),
            accepted=len(state.head.accepted),
            rejected=len(state.head.rejected),
            loss=None if state.head.header.loss is None else state.head.header.loss / SCORE_ONE,
            accuracy=None if state.head.header.accuracy is None else state.head.header.accuracy / SCORE_ONE,
            payload_bytes=sum(header.size_bytes for header in state.head.body.headers),
            seconds=now_s - last_s,
            virtual_ms=now_ms - last_ms,
            trainers=build_trainer_reports(state, names, {key: attack.name for key, attack in attackers.items()}),
        )


def explain_stop(state: ChainState) -> str:
    """Return why no further block can come: who is missing, and what would help (ROUND-16)."""
    quorum, validators = state.quorum, len(state.genesis.validators)
    if state.closed is not None:
        return (
            f"The chain stopped at height {state.height}: block {state.height + 1} has {len(state.closed.readys)} "
            f"readys and {len(state.closed.seals)} seals, but needs {quorum} of {validators} validators; "
            "start the missing validators."
        )
    voters = {key for item in state.core.pending.values() for key in item.votes} | set(state.core.timeouts)
    return (
        f"The chain stopped at height {state.height}: {len(voters)} of {validators} validators voted in the "
        f"open round, but {quorum} must; start the missing validators or trainers."
    )
