"""A world's trainers: registered by number and key, alive only while they are awake."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from flobc.composition.genesis import Federation
from flobc.learning.attacks import Attack, Knowledge
from flobc.ports.payloads import Payload
from flobc.ports.scheduler import Scheduler
from flobc.protocol.consensus.state import ChainState
from flobc.protocol.messages import Record, UpdateHeader
from flobc.protocol.roles.duties import Train
from flobc.runtime.engine import LearningEngine
from flobc.runtime.joint_training import Finish, R
from flobc.runtime.local_updates import LocalUpdate, Training
from flobc.runtime.seeds import derive_seed
from flobc.runtime.trainer_node import TrainerNode, TrainerParts
from flobc.simulation.clocks import NodeClock
from flobc.simulation.joining import build_join
from flobc.simulation.shards import LazyShards
from flobc.simulation.speeds import Speeds
from flobc.simulation.trainings import TrainingPool


class HeadFollower:
    """A trainer's view of the chain: the newest head that has reached it."""

    def __init__(self, state: ChainState, on_publish: Callable[[bytes], None]) -> None:
        self.state = state
        self._on_publish = on_publish

    def is_waiting(self, kind: type[Record]) -> bool:
        """Return False: a trainer writes nothing to the log."""
        del kind
        return False

    def publish(self, record: bytes) -> bool:
        """Send a request to join; the state moves with a later block, so this returns False."""
        self._on_publish(record)
        return False


@dataclass(frozen=True)
class Ways:
    """Where a trainer's messages go: payloads and requests to join, each with the trainer's number."""

    publish: Callable[[int, Payload], None]
    ask_to_join: Callable[[int, bytes], None]
    on_signed: Callable[[Payload, LocalUpdate], None]


@dataclass(frozen=True)
class TrainerWorld:
    """What all trainers share."""

    federation: Federation
    seed: int
    engine: LearningEngine
    pool: TrainingPool
    clock: Scheduler
    shards: LazyShards
    speeds: Speeds
    ways: Ways
    attacks: dict[int, Attack]
    know: Callable[[Train], Knowledge]
    late: frozenset[int]
    """Trainers that are no members of the genesis and ask to be admitted."""
    invited: int | None = None
    """How many joins their one invitation is for; None where they need none."""


@dataclass
class _Living:
    """One trainer that is awake; ``trainings`` counts those under way."""

    follower: HeadFollower
    clock: NodeClock
    node: TrainerNode
    trainings: int = 0
    is_leaving: bool = False


@dataclass(frozen=True)
class _PooledTrainings:
    """The ``Trainings`` of one trainer: into the pool, each with its own duration."""

    world: TrainerWorld
    index: int
    living: Callable[[], _Living]
    after: Callable[[], None]

    def add(self, training: Training, finish: Finish[R], done: Callable[[R | None], None]) -> None:
        living = self.living()
        living.trainings += 1

        def give(result: R | None) -> None:
            living.trainings -= 1
            done(result)
            self.after()

        duration_ms = self.world.speeds.draw_training_ms(self.index, training.seed)
        self.world.pool.add(training, duration_ms, finish, give, lambda: living.clock.is_running)


@dataclass
class Trainers:
    """The trainers that are awake, and of the others what each would find on its disk: the last header it signed."""

    world: TrainerWorld
    _living: dict[int, _Living] = field(default_factory=dict)
    _signed: dict[int, UpdateHeader] = field(default_factory=dict)

    @property
    def awake(self) -> int:
        """How many are awake."""
        return len(self._living)

    def on_head(self, index: int, state: ChainState) -> None:
        """Let a trainer, which this wakes, know of a newer head."""
        living = self._living.get(index)
        if living is None:
            living = self._living[index] = self._wake(index, state)
        elif living.follower.state.height < state.height:
            living.follower.state = state
        living.is_leaving = False
        living.node.step()

    def let_sleep(self, index: int) -> None:
        """Send a trainer to sleep once what it does now is done."""
        living = self._living.get(index)
        if living is not None:
            living.is_leaving = True
            self._rest(index)

    def stop(self, index: int) -> None:
        """End a trainer at once, whatever it does."""
        living = self._living.pop(index, None)
        if living is not None:
            living.clock.stop()

    def has_diverged(self) -> bool:
        """Return whether each trainer that is awake got from the head to what no codec can express."""
        return bool(self._living) and all(living.node.has_diverged for living in self._living.values())

    def _wake(self, index: int, state: ChainState) -> _Living:
        world = self.world
        identity = world.federation.trainers[index]
        clock = NodeClock(world.clock, lambda: None)
        follower = HeadFollower(state, lambda record: world.ways.ask_to_join(index, record))
        attack, shard = world.attacks.get(index), world.shards.get_trainer(index)
        if attack is not None:
            seed = derive_seed(world.seed, "attack", index)
            shard = attack.poison_examples(shard, np.random.Generator(np.random.PCG64(seed)))

        def after() -> None:
            if clock.is_running:
                living.node.step()
                self._rest(index)

        parts = TrainerParts(
            index=index,
            identity=identity,
            shard=shard,
            settings=world.federation.training,
            seed=world.seed,
            engine=world.engine,
            follower=follower,
            scheduler=clock,
            durations=world.speeds.durations,
            publish=lambda payload: self._publish(index, payload),
            on_signed=world.ways.on_signed,
            attack=attack,
            know=world.know,
            joint=_PooledTrainings(world, index, lambda: living, after),
        )
        join = build_join(state.chain, identity, world.seed, world.invited) if index in world.late else None
        living = _Living(follower, clock, TrainerNode(parts, join))
        if index in self._signed:
            living.node.on_own_header(self._signed[index])
        return living

    def _publish(self, index: int, payload: Payload) -> None:
        self._signed[index] = payload.header
        self.world.ways.publish(index, payload)

    def _rest(self, index: int) -> None:
        living = self._living.get(index)
        if living is not None and living.is_leaving and not living.trainings:
            self.stop(index)
