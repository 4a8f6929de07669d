"""Simulate a scenario: the one function behind ``flobc simulate``."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from flobc.adapters.filesystem import FilePayloads, write_atomically
from flobc.composition.genesis import Federation, build_genesis, derive_identities
from flobc.composition.reports import Observer, SilentObserver
from flobc.composition.run_directory import (
    SCENARIO,
    append_test,
    create_run_directory,
    lock_directory,
    settings_to_json,
)
from flobc.composition.settings import RunSettings, build_train_settings
from flobc.composition.stores import Stores, build_memory_stores, open_file_stores
from flobc.composition.verification import VerifyReport, verify_chain
from flobc.learning.device import get_device, set_device
from flobc.learning.many import prefers_many
from flobc.learning.task import Task
from flobc.learning.tasks import get_task
from flobc.numerics.parallel import available_cores
from flobc.protocol.bounds import PPM
from flobc.protocol.consensus.state import ChainState
from flobc.runtime.processes import TaskInProcesses
from flobc.simulation.archive import StoresArchive
from flobc.simulation.churn import list_joiners
from flobc.simulation.loading import World
from flobc.simulation.results import Results, save_results
from flobc.simulation.scenario import Scenario
from flobc.simulation.shards import LazyShards
from flobc.simulation.world import Basis, SimulatedWorld

LEAST_FOR_PROCESSES = 200
"""Trainers that take part in a round; with fewer, loading torch once more takes longer than it saves."""


@dataclass(frozen=True)
class SimulationResult:
    """What a simulation leaves: its numbers, the chain's last state, and what was verified of it."""

    results: Results
    state: ChainState
    verified: VerifyReport


def simulate(
    world: World,
    *,
    task: Task | None = None,
    directory: Path | None = None,
    out: Path | None = None,
    observer: Observer | None = None,
    workers: int = 0,
) -> SimulationResult:
    """Let a world go on until its last round, and verify the chain that it leaves.

    With ``directory``, a new one, the chain is kept there like that of ``flobc run``; without, it lives in memory.
    Results are written there and to ``out``, also those of a world that was stopped. ``task`` stands for the one
    that is named.

    **Raises** UsageError for what cannot be, DataError when data is missing, FlobcError when the chain stops,
    VerificationError when it does not hold.
    """
    settings = world.settings
    set_device(settings.device)
    workers = workers or available_cores()
    named = task is None
    task = task or get_task(settings.task)
    federation = build_federation(world, task)
    shards = LazyShards(settings, task)
    processes = open_processes(world, task, shards, workers) if named else nullcontext(None)
    with open_stores(directory, world, federation) as stores, processes as computing:
        basis = Basis(federation, shards, stores, observer or SilentObserver(), workers, computing)
        simulated = SimulatedWorld(world, basis)
        try:
            simulated.run(settings.rounds)
        finally:
            simulated.close()
            results = build_results(world, simulated, shards)
            if directory is not None:
                for test in simulated.census.tests.values():
                    append_test(directory, test)
            for place in (directory, out):
                if place is not None:
                    save_results(place, results)
        verified = verify_chain(StoresArchive(federation.genesis, stores), full=False)
        return SimulationResult(results, simulated.state, verified)


@contextmanager
def open_processes(world: World, task: Task, shards: LazyShards, workers: int) -> Iterator[Task | None]:
    """Lend a task that trains and scores many models in other processes, where enough trainers take part."""
    awake = world.settings.trainers * world.scenario.run.participation // PPM
    pays = workers > 1 and awake >= LEAST_FOR_PROCESSES and get_device().type == "cpu"
    if not pays or not prefers_many(task, shards.test):
        yield None
        return
    with closing(TaskInProcesses(task, world.settings.task, workers)) as lent:
        yield lent


def build_federation(world: World, task: Task) -> Federation:
    """Return keys, genesis and first model; who joins later under ``open`` admission is no member of the genesis."""
    settings = world.settings
    trainers, validators = derive_identities(settings)
    late = list_late(world.scenario, settings)
    members = [key.public_key for index, key in enumerate(trainers) if index not in late]
    genesis, initial = build_genesis(settings, task, members, [key.public_key for key in validators])
    training = build_train_settings(task.default_settings, settings.training)
    return Federation(task, training, genesis, initial, trainers, validators)


def list_late(scenario: Scenario, settings: RunSettings) -> frozenset[int]:
    """Return the numbers of the trainers that must ask to be admitted."""
    if scenario.run.admission == "allowlist":
        return frozenset()
    return frozenset(node.index for node in list_joiners(scenario, settings) if node.role == "trainer")


def build_results(world: World, simulated: SimulatedWorld, shards: LazyShards) -> Results:
    """Return what was counted up to now."""
    settings, state = world.settings, simulated.state
    asked = settings_to_json(settings)
    for name in ("data_directory", "workers", "device"):  # the machine's business
        del asked[name]
    params = dataclasses.asdict(settings.params)
    operator = settings.params.admission.operator
    params["admission"]["operator"] = operator and operator.hex()
    return Results(
        scenario=world.text,
        settings=asked | {"params": params},
        head=state.head_digest.hex(),
        height=state.height,
        virtual_ms=simulated.clock.now_ms,
        rounds=simulated.census.rows,
        trainers=simulated.census.build_trainer_rows(state, shards, simulated.speeds),
        network_bytes=dict(sorted(simulated.network.bytes.items())),
    )


@contextmanager
def open_stores(root: Path | None, world: World, federation: Federation) -> Iterator[Stores]:
    """Open stores in memory, or in a directory. **Raises** UsageError when it holds something already."""
    if root is None:
        yield build_memory_stores(federation.genesis, keeps_payloads=False)
        return
    root.mkdir(parents=True, exist_ok=True)
    with lock_directory(root):
        create_run_directory(root, world.settings, federation.genesis)
        if world.text:
            write_atomically(root / SCENARIO, [world.text.encode()])
        with open_file_stores(root, federation.genesis) as stores:
            # A world that was cut short begins anew, so its payloads need not outlive a power cut.
            yield dataclasses.replace(stores, payloads=FilePayloads(root / "payloads", flush=False))
