"""A scenario: everything that a simulated world is made of, as a closed tree of frozen dataclasses.

A key that is not given keeps its default; in ``run`` and ``training`` that is the preset's or the task's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from flobc.composition.presets import PRESETS, get_preset
from flobc.learning.attacks import parse_attack
from flobc.learning.shards import parse_scheme
from flobc.learning.tasks import get_task
from flobc.numerics.codecs import CODEC_NAMES
from flobc.protocol.params import RULES
from flobc.protocol.sync.params import SCHEMES, UNBOUNDED_STALENESS
from flobc.protocol.trust.params import POLICIES
from flobc.simulation.attacks import parse_validator_attack
from flobc.simulation.distributions import Constant, Distribution, rates, times
from flobc.simulation.members import Members, members
from flobc.simulation.reading import key, keys, section, sections
from flobc.simulation.units import Kind, choice, duration, number, share, text, whole

ACTIONS = ("join", "leave", "crash", "return")


def _heights() -> Kind:
    count = whole(0, UNBOUNDED_STALENESS)
    return Kind(
        "a whole number or unbounded",
        lambda given: UNBOUNDED_STALENESS if given == "unbounded" else count.parse(given),
        choices=("unbounded",),
    )


def _above_zero(most: str = "100%") -> Kind:
    return share("0.0001%", most)


@dataclass(frozen=True)
class RunScenario:
    """What is learnt, by how many, under which rules: the options of ``flobc run``, named alike."""

    task: str | None = key(text("a task", get_task), None)
    preset: str = key(text(f"one of {', '.join(PRESETS)}", get_preset), "default")
    trainers: int | None = key(whole(1, 100_000), None)
    validators: int | None = key(whole(1, 1_000), None)
    rounds: int | None = key(whole(1), None)
    seed: int | None = key(whole(0, 2**63 - 1), None)
    participation: int = key(_above_zero(), 1_000_000)
    """Share of the trainers that is awake in each round, drawn anew from the seed."""
    admission: str = key(choice("allowlist", "open", "invite"), "allowlist")
    """But for ``allowlist`` trainers that an event lets ``join`` are no members of the genesis; they ask for it."""
    invited: int | None = key(whole(1, 1_000_000), None)
    """How many joins the operator's one invitation is for; all joiners hold it."""
    max_trainers: int | None = key(whole(1, 1_000_000), None)
    max_joins: int | None = key(whole(0, 1_000_000), None)
    """Most joins of a block."""
    time_limit: int = key(duration(1), 24 * 3_600_000)
    """Virtual time after which the simulation gives up."""
    sync: str | None = key(choice(*SCHEMES), None)
    majority_ratio: int | None = key(_above_zero(), None)
    period: int | None = key(duration(1), None)
    max_staleness: int | None = key(_heights(), None)
    quota: int | None = key(whole(1, 1_000_000), None)
    min_updates: int | None = key(whole(1, 1_000_000), None)
    liveness_rounds: int | None = key(whole(1, 1_000_000), None)
    trust: str | None = key(choice(*POLICIES), None)
    aggregator: str | None = key(choice(*RULES), None)
    byzantine_share: int | None = key(share("0%", "49%"), None)
    trim_share: int | None = key(share("0%", "49%"), None)
    codec: str | None = key(choice(*CODEC_NAMES), None)
    score_metric: str | None = key(choice("loss", "accuracy"), None)
    accept_tolerance: int | None = key(share(), None)
    min_mass: int | None = key(share(), None)
    """Least denominator of the weights, as a share of the active trainers: lower it where few of them are awake."""
    max_share: int | None = key(_above_zero(), None)
    """Most weight of one update."""
    norm_factor: int | None = key(share("0%", "10000%"), None)
    """How many times the last block's median norm an update may have; 0% bounds nothing."""


@dataclass(frozen=True)
class TrainingScenario:
    """How each trainer trains on its own shard."""

    optimizer: str | None = key(choice("sgd", "adam"), None)
    learning_rate: float | None = key(number(above=True), None)
    momentum: float | None = key(number(), None)
    batch_size: int | None = key(whole(1), None)
    epochs: int | None = key(whole(1), None)
    steps: int | None = key(whole(1), None)
    proximal_mu: float | None = key(number(), None)
    weight_decay: float | None = key(number(), None)


@dataclass(frozen=True)
class DataScenario:
    """How training data is dealt out, and where data sets lie."""

    sharding: str | None = key(text("a shard scheme", parse_scheme), None)
    directory: Path | None = key(Kind("a path", Path), None)


@dataclass(frozen=True)
class LinkScenario:
    """The way between a node and the servers. Latency and bandwidths are each node's own, drawn once."""

    latency: Distribution = times(20)
    jitter: int = key(share(), 100_000)
    """How far each message's latency may be from its node's."""
    up: Distribution = rates(10_000_000)
    down: Distribution = rates(50_000_000)


@dataclass(frozen=True)
class ServerLinkScenario(LinkScenario):
    """As ``LinkScenario``, with the defaults of a machine in a data centre."""

    latency: Distribution = times(2)
    up: Distribution = rates(100_000_000)
    down: Distribution = rates(100_000_000)


@dataclass(frozen=True)
class NetworkScenario:
    """What happens to messages on their way; records of one key keep their order whatever does."""

    trainers: LinkScenario = section(LinkScenario)
    validators: ServerLinkScenario = section(ServerLinkScenario)
    loss: int = key(share("0%", "90%"), 0)
    """How many transmissions are lost; a client sends again after ``retry``."""
    retry: int = key(duration(1), 500)
    duplication: int = key(share("0%", "90%"), 0)
    """How many messages arrive twice."""
    reordering: int = key(share(), 0)
    """How many messages are held back by up to ``held_back``, so that those of others overtake them."""
    held_back: int = key(duration(1), 1_000)
    poll: int = key(duration(1), 20)
    """How often a validator looks for what has arrived."""


@dataclass(frozen=True)
class StragglersScenario:
    """A share of the trainers that takes ``factor`` times as long as the others."""

    share: int = key(share())
    factor: float = key(number(above=True))


@dataclass(frozen=True)
class SpeedsScenario:
    """How long work takes. ``training`` is each trainer's mean, drawn once; each training varies around it."""

    training: Distribution = times(1_000, least_ms=1)
    variation: int = key(share(), 200_000)
    stragglers: tuple[StragglersScenario, ...] = sections(StragglersScenario)
    scoring: int = key(duration(), 2)
    """One update on a validator's shard."""
    evaluating: int = key(duration(), 20)
    aggregating: int = key(duration(), 50)


@dataclass(frozen=True)
class EventScenario:
    """Something that happens to some nodes at a time; a node that crashed or left can ``return``."""

    at: int = key(duration())
    what: str = key(choice(*ACTIONS))
    trainers: Members = members()
    validators: Members = members()


@dataclass(frozen=True)
class RateScenario:
    """Nodes that crash again and again: mean time between a start and a crash, and between a crash and a return."""

    crash_every: int = key(duration(1))
    back_after: int | None = key(duration(1), None)
    """Without it nobody returns."""
    trainers: Members = members()
    validators: Members = members()


@dataclass(frozen=True)
class ChurnScenario:
    """Who comes and goes, and when."""

    events: tuple[EventScenario, ...] = sections(EventScenario)
    rates: tuple[RateScenario, ...] = sections(RateScenario)


@dataclass(frozen=True)
class PartitionScenario:
    """Nodes that cannot reach the servers for a while; what they send and what is sent to them waits."""

    from_: int = key(duration())
    to: int = key(duration())
    trainers: Members = members()
    validators: Members = members()


@dataclass(frozen=True)
class ClocksScenario:
    """How far validators' clocks are off: ``drift`` in how fast they run, ``offset`` in what they show."""

    drift: int = key(share("0%", "50%"), 0)
    offset: int = key(duration(), 0)


@dataclass(frozen=True)
class AttacksScenario:
    """Who attacks how: ``NAME:key=value@SHARE``, as ``--attack`` of ``flobc run`` takes it."""

    trainers: tuple[str, ...] = keys(text("an attack such as sign_flip@0.3", parse_attack))
    validators: tuple[str, ...] = keys(text("an attack such as silent@0.25", parse_validator_attack))


@dataclass(frozen=True)
class Scenario:
    """A whole world."""

    run: RunScenario = section(RunScenario)
    training: TrainingScenario = section(TrainingScenario)
    data: DataScenario = section(DataScenario)
    network: NetworkScenario = section(NetworkScenario)
    speeds: SpeedsScenario = section(SpeedsScenario)
    churn: ChurnScenario = section(ChurnScenario)
    partitions: tuple[PartitionScenario, ...] = sections(PartitionScenario)
    clocks: ClocksScenario = section(ClocksScenario)
    attacks: AttacksScenario = section(AttacksScenario)


def is_constant(distribution: Distribution) -> bool:
    """Return whether every draw is the same."""
    return isinstance(distribution, Constant)


def get_given(part: Any) -> dict[str, Any]:
    """Return the keys of a section that were given, of one whose defaults are None."""
    return {name: value for name, value in vars(part).items() if value is not None}
