"""A whole simulated world: the nodes of one chain, their network and their fates, on one virtual clock."""

from __future__ import annotations

import functools
import hashlib
from concurrent.futures import Future
from dataclasses import dataclass

from flobc.composition.embedded import TEST_MS, build_attacks, build_executor, explain_stop
from flobc.composition.genesis import Federation
from flobc.composition.knowledge import Omniscience
from flobc.composition.reports import Observer
from flobc.composition.retention import Retention
from flobc.composition.stores import Stores
from flobc.errors import FlobcError
from flobc.learning.attacks import KnowingAttack
from flobc.learning.determinism import one_thread
from flobc.learning.task import Task
from flobc.numerics.parallel import inline
from flobc.ports.payloads import Payload
from flobc.protocol.consensus.state import ChainState, build_initial_state
from flobc.protocol.messages import UpdateHeader, compute_update_id
from flobc.protocol.sync.policies import is_base_allowed
from flobc.runtime.engine import LearningEngine
from flobc.runtime.ledger_node import LedgerNode
from flobc.runtime.live_follower import Appender
from flobc.runtime.local_updates import LocalUpdate
from flobc.runtime.memory import sparing_collector
from flobc.runtime.scorer import Scorer
from flobc.simulation.accomplices import Surroundings, choose_accomplices
from flobc.simulation.census import Census
from flobc.simulation.churn import Churn, list_cuts, list_joiners
from flobc.simulation.clocks import WorldClock
from flobc.simulation.distributions import draw_share
from flobc.simulation.loading import World
from flobc.simulation.members import choose_share
from flobc.simulation.network import Network, Node
from flobc.simulation.shards import LazyShards
from flobc.simulation.shared_log import SharedLog
from flobc.simulation.speeds import Speeds
from flobc.simulation.trainers import Trainers, TrainerWorld, Ways
from flobc.simulation.trainings import TrainingPool
from flobc.simulation.validators import BatchScorer, ValidatorWorld, VirtualValidator

HEADER_BYTES = 400
"""What an update's header and its records' frames add to its payload."""
ACK_BYTES = 64
FLOAT_BYTES = 4
"""What a coordinate of a model takes on its way to a trainer."""


@dataclass(frozen=True)
class Basis:
    """What a world is built on: members, data, stores, and who watches."""

    federation: Federation
    shards: LazyShards
    stores: Stores
    observer: Observer
    workers: int = 0
    computing: Task | None = None
    """What trains and scores in the federation's task's place."""


class SimulatedWorld:
    """All nodes of one chain; all its methods run on the clock's loop."""

    def __init__(self, world: World, basis: Basis) -> None:
        settings, scenario = world.settings, world.scenario
        self._scenario, self._settings, self._basis = scenario, settings, basis
        federation, stores = basis.federation, basis.stores
        # Where processes compute, threads mostly wait: with as many again, results are encoded meanwhile.
        self._executor = build_executor(basis.workers if basis.computing is None else 2 * basis.workers)
        self.clock = WorldClock(self._executor)
        self.network = Network(scenario.network, settings.seed, list_cuts(scenario, settings))
        self.speeds = Speeds(scenario.speeds, settings.trainers, settings.seed)
        self.attacks = build_attacks(settings)
        self._accomplices = choose_accomplices(
            scenario.attacks.validators,
            settings,
            federation,
            self.attacks,
            Surroundings(self.clock, lambda: self.log.state),
        )
        if stores.models.get(federation.genesis.initial_model) is None:
            stores.models.put(federation.genesis.initial_model, federation.initial_model)
        computing = basis.computing or federation.task
        self._engine = LearningEngine(computing, federation.genesis, stores.models, stores.payloads)
        self._retention = Retention(
            self._engine, None if stores.keeps_payloads else stores.payloads, federation.genesis.initial_model
        )
        self.log = SharedLog(stores.log, build_initial_state(federation.genesis))
        self.log.on_append = self._on_append
        self.log.on_commit = self._on_commit
        self._ledger = LedgerNode(stores.blocks)
        self.census = Census(settings, federation, self.attacks, basis.observer, self.clock)
        self._open: dict[bytes, UpdateHeader] = {}
        self._passed: dict[int, ChainState] = {}
        self._is_over = False
        joiners = list_joiners(scenario, settings)
        self._running = {
            node
            for node in (
                *(Node("trainer", index) for index in range(settings.trainers)),
                *(Node("validator", index) for index in range(settings.validators)),
            )
            if node not in joiners
        }
        self._validators: dict[int, VirtualValidator] = {}
        self._trainers = self._build_trainers(frozenset(node.index for node in joiners if node.role == "trainer"))
        self._awake = self._choose_awake(0)

    @property
    def state(self) -> ChainState:
        """The chain at the end of the log."""
        return self.log.state

    def run(self, rounds: int) -> None:
        """Let time pass until the chain has ``rounds`` blocks and the last model is tested.

        **Raises** FlobcError when nothing is left that could close the next round, or the time limit is over.
        """
        self.census.on_start(self.state, rounds)
        Churn(self._scenario, self._settings, self._start, self._end).plan(self.clock)
        self.clock.call_later(self._scenario.run.time_limit, self._give_up)
        for index in range(self._settings.validators):
            if Node("validator", index) in self._running:
                self._validators[index] = self._build_validator(index)
        self._spread_head(self.state)
        self._test_model()

        def finished() -> bool:
            return self._is_over or (rounds in self.census.tests)

        with one_thread(), inline(), sparing_collector():
            is_finished = self.clock.run_until(finished)
        if self._is_over or not is_finished:
            raise FlobcError(self._explain_stop())

    def close(self) -> None:
        """Stop the workers; what is still being computed is thrown away."""
        self._executor.shutdown(wait=True, cancel_futures=True)

    def _give_up(self) -> None:
        self._is_over = True

    def _explain_stop(self) -> str:
        if self._trainers.has_diverged() and self.state.closed is None:
            return (
                f"The chain stopped at height {self.state.height}: every trainer's update became infinite or no "
                "number; lower the learning rate."
            )
        when = f"after {self.clock.now_ms / 1000:g} s of virtual time"
        return f"{explain_stop(self.state)} ({when}; the scenario says who was cut off, crashed or silent.)"

    def _start(self, node: Node) -> None:
        if node in self._running:
            return
        self._running.add(node)
        state = self.state
        size_bytes = FLOAT_BYTES * state.genesis.model.size
        now_ms = self.clock.now_ms
        at_ms = self.network.receive(node, now_ms, size_bytes, "heads", "start", now_ms)
        begin = self._start_trainer if node.role == "trainer" else self._start_validator
        self.clock.call_later(at_ms - now_ms, lambda: begin(node))

    def _start_trainer(self, node: Node) -> None:
        if node in self._running and node.index in self._awake:
            self._trainers.on_head(node.index, self.state)

    def _start_validator(self, node: Node) -> None:
        """Begin from the newest state, as a node that asks a ledger, and read what of the updates may still count."""
        if node not in self._running or node.index in self._validators:
            return
        self._validators[node.index] = self._build_validator(node.index)
        for header in list(self._open.values()):
            self._carry_to(node.index, header)

    def _end(self, node: Node) -> None:
        self._running.discard(node)
        self.network.forget(node)
        if node.role == "trainer":
            self._trainers.stop(node.index)
        elif node.index in self._validators:
            self._validators.pop(node.index).stop()

    def _build_trainers(self, late: frozenset[int]) -> Trainers:
        basis, settings = self._basis, self._settings
        omniscience = Omniscience(
            self._engine,
            basis.federation,
            basis.shards.get_trainer,
            basis.stores.blocks,
            settings.seed,
            self.attacks.keys(),
        )
        if any(isinstance(attack, KnowingAttack) for attack in self.attacks.values()):
            self._engine.remember_training()
        return Trainers(
            TrainerWorld(
                federation=basis.federation,
                seed=settings.seed,
                engine=self._engine,
                pool=TrainingPool(self._engine, self.clock),
                clock=self.clock,
                shards=basis.shards,
                speeds=self.speeds,
                ways=Ways(self._publish, self._ask_to_join, self._remember_own),
                attacks=self.attacks,
                know=omniscience.know,
                late=late if self._scenario.run.admission != "allowlist" else frozenset(),
                invited=self._count_invited(len(late)),
            )
        )

    def _count_invited(self, joiners: int) -> int | None:
        run = self._scenario.run
        return None if run.admission != "invite" else run.invited or joiners

    def _build_validator(self, index: int) -> VirtualValidator:
        clocks, seed = self._scenario.clocks, self._settings.seed
        federation = self._basis.federation
        scorer: Scorer = BatchScorer(self._engine, self._basis.shards.get_validator(index), federation.genesis)
        log: Appender = Uplink(self, Node("validator", index))
        accomplice = self._accomplices.get(index)
        if accomplice is not None:
            scorer = accomplice.attack.wrap_scorer(scorer, accomplice.who)
            log = accomplice.attack.wrap_log(log, accomplice.who)
        return VirtualValidator(
            ValidatorWorld(
                identity=federation.validators[index],
                scorer=scorer,
                log=log,
                shared=self.log,
                seals=self._basis.stores.seals,
                durations=self.speeds.durations,
                clock=self.clock,
                poll_ms=self._scenario.network.poll,
                drift_ppm=round(clocks.drift * (2 * draw_share(seed, "drift", index) - 1)),
                offset_ms=round(clocks.offset * (2 * draw_share(seed, "offset", index) - 1)),
            ),
            self.state,
            self.log.length,
        )

    def _publish(self, index: int, payload: Payload) -> None:
        """Carry an update to the topic and from there to every validator."""
        node, header = Node("trainer", index), payload.header
        update = compute_update_id(header)
        self._basis.stores.payloads.put(update, payload)
        self._retention.on_update(header)
        now_ms = self.clock.now_ms
        size_bytes = header.size_bytes + HEADER_BYTES
        at_ms = self.network.send(node, now_ms, size_bytes, "updates", "update", update.hex())
        self.clock.call_later(at_ms - now_ms, lambda: self._arrive(index, header))
        if self.network.is_doubled("update", update.hex()):
            again_ms = self.network.send(node, now_ms, size_bytes, "updates", "update again", update.hex())
            self.clock.call_later(again_ms - now_ms, lambda: self._arrive(index, header))

    def _arrive(self, index: int, header: UpdateHeader) -> None:
        del index
        self._open[compute_update_id(header)] = header
        for validator in self._validators:
            self._carry_to(validator, header)

    def _carry_to(self, validator: int, header: UpdateHeader) -> None:
        now_ms = self.clock.now_ms
        size_bytes, labels = header.size_bytes + HEADER_BYTES, (compute_update_id(header).hex(), now_ms)
        at_ms = self.network.receive(Node("validator", validator), now_ms, size_bytes, header.trainer, *labels)
        self._validators[validator].take_payload(at_ms, header)

    def _ask_to_join(self, index: int, record: bytes) -> None:
        """Carry a request to join to a validator that relays it into the log."""
        now_ms = self.clock.now_ms
        at_ms = self.network.send(Node("trainer", index), now_ms, len(record), "updates", "join", now_ms)

        def relay() -> None:
            if self._validators:
                Uplink(self, Node("validator", min(self._validators))).append(b"", record)

        self.clock.call_later(at_ms - now_ms, relay)

    def _remember_own(self, payload: Payload, made: LocalUpdate) -> None:
        """Keep what all receivers would decode and build: whoever encoded it has had it in hand."""
        self._engine.remember_own(compute_update_id(payload.header), made)

    def _on_append(self, offset: int, record: bytes) -> None:
        now_ms = self.clock.now_ms
        for index, validator in self._validators.items():
            node = Node("validator", index)
            validator.take_record(self.network.receive(node, now_ms, len(record), "log", "log", offset), offset, record)
        view = self.state.round_view
        self._basis.observer.on_update(
            self.state.height + 1, len(self._open), len(view.decided_trainers), len(view.active)
        )

    def _on_commit(self, state: ChainState) -> None:
        """Take note of a new block at the servers, and let it spread."""
        self._retention.on_block(state.height, state.head.header.model)
        self._ledger.step(state)
        self._passed[state.height] = state
        self._forget_passed()
        sync = state.params.sync
        settled = {decision.update for decision in state.head.body.decisions}
        self._open = {
            update: header
            for update, header in self._open.items()
            if update not in settled and is_base_allowed(sync, header.base_height, state.height)
        }
        self.census.on_commit(state, self.log.size_bytes, self._trainers.awake)
        awake, self._awake = self._awake, self._choose_awake(state.height)
        for index in sorted(awake - self._awake):
            self._trainers.let_sleep(index)
        self._spread_head(state)
        self._test_model()

    def _spread_head(self, state: ChainState) -> None:
        """Let every trainer that is awake have the new head as soon as its network carries it there."""
        now_ms, size_bytes = self.clock.now_ms, FLOAT_BYTES * state.genesis.model.size
        for index in sorted(self._awake):
            node = Node("trainer", index)
            if node in self._running:
                at_ms = self.network.receive(node, now_ms, size_bytes, "heads", "head", state.height)
                self.clock.call_later(at_ms - now_ms, functools.partial(self._on_head, node, state))

    def _on_head(self, node: Node, state: ChainState) -> None:
        if node in self._running and node.index in self._awake:
            self._trainers.on_head(node.index, state)

    def _choose_awake(self, height: int) -> frozenset[int]:
        settings = self._settings
        chosen = choose_share(self._scenario.run.participation, settings.trainers, settings.seed, "awake", height)
        return frozenset(chosen)

    def _forget_passed(self) -> None:
        """Forget what of the past no running validator needs: models, payloads, states.

        Only when a block is certified: then nobody holds a model yet that no block names.
        """
        if not self._validators:
            return
        lowest = min(validator.height for validator in self._validators.values())
        for height in sorted(self._passed):
            if height <= lowest:
                self._retention.on_commit(self._passed.pop(height))
        self.log.forget(min(validator.offset for validator in self._validators.values()))

    def _test_model(self) -> None:
        """Measure the head on the test set, which nobody on the chain holds."""
        height, view = self.state.height, self._engine.get_view(self.state.head.header.model)
        task, test = self._basis.federation.task, self._basis.shards.test
        self.clock.submit(
            "test",
            lambda: task.evaluate(view.vector, test),
            TEST_MS,
            lambda evaluation: self.census.on_test(height, evaluation),
        )


class Uplink:
    """A validator's way to the log: records arrive in the order in which it sent them."""

    def __init__(self, world: SimulatedWorld, node: Node) -> None:
        self._world = world
        self._node = node

    def append(self, key: bytes, value: bytes) -> Future[None]:
        """Send a record; the future is done when its acknowledgement is back."""
        del key
        network, clock = self._world.network, self._world.clock
        labels = ("record", clock.now_ms, hashlib.sha256(value).hexdigest())
        answer: Future[None] = Future()

        def arrive() -> None:
            self._world.log.append(value)
            back_ms = network.receive(self._node, clock.now_ms, ACK_BYTES, "answers", *labels)
            clock.call_later(back_ms - clock.now_ms, functools.partial(answer.set_result, None))

        at_ms = network.send(self._node, clock.now_ms, len(value), "log", *labels)
        clock.call_later(at_ms - clock.now_ms, arrive)
        if network.is_doubled(*labels):
            again_ms = network.send(self._node, clock.now_ms, len(value), "log", "again", *labels)
            clock.call_later(again_ms - clock.now_ms, lambda: self._world.log.append(value))
        return answer
