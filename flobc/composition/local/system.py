"""``flobc up`` and ``flobc down``: Kafka, Redis and every service of a chain on one machine.

::

    DIR/settings.json, DIR/genesis     as in a run's directory     DIR/system.json   addresses
    DIR/kafka/  DIR/redis/             the servers' data and logs  DIR/initial/      the first model
    DIR/nodes/NAME/                    a node's key, data, log and process number
    DIR/traces/NAME.jsonl              a node's spans, where they are asked for
"""

from __future__ import annotations

import dataclasses
import functools
import sys
import time
from collections.abc import Callable
from pathlib import Path

from flobc.adapters.filesystem import FileModels
from flobc.adapters.filesystem.keys import create_key_file, load_key_file
from flobc.adapters.grpc import is_serving
from flobc.composition.genesis import build_federation
from flobc.composition.local.kafka import start_kafka
from flobc.composition.local.plan import Plan, get_process, get_server, is_system_directory, load_plan, save_plan
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.process import DetachedProcess, is_port_open
from flobc.composition.local.redis import start_redis
from flobc.composition.local.traces import get_traces_file
from flobc.composition.run_directory import load_genesis, load_settings, save_beginning
from flobc.composition.services.settings import KEY_INDEX
from flobc.composition.settings import RunSettings, validate_settings
from flobc.composition.wording import show_count
from flobc.learning.tasks import get_task
from flobc.protocol.identity import Identity

HOST = "127.0.0.1"
START_S = 120.0
STOP_S = 15.0
INVITATION = "invitation"
"""The file in a system's directory by which trainers join that are not in the genesis (``flobc invite``)."""


def create_system(root: Path, settings: RunSettings, ledgers: int) -> None:
    """Make keys, genesis and first model of a new chain. **Raises** UsageError when something else is there."""
    validate_settings(settings)
    task = get_task(settings.task)
    trainers = tuple(_make_key(root, "trainer", index) for index in range(settings.trainers))
    validators = tuple(_make_key(root, "validator", index) for index in range(settings.validators))
    federation = build_federation(settings, task, (trainers, validators))
    (root / "initial").mkdir(exist_ok=True)
    FileModels(root / "initial").put(federation.genesis.initial_model, federation.initial_model)
    for index in range(ledgers):
        (root / "nodes" / f"ledger-{index}").mkdir(parents=True, exist_ok=True)
    save_beginning(root, settings, federation.genesis)


def _make_key(root: Path, role: str, index: int) -> Identity:
    path = root / "nodes" / f"{role}-{index}" / "key"
    path.parent.mkdir(parents=True, exist_ok=True)
    return load_key_file(path) if path.exists() else create_key_file(path)


def start_system(
    root: Path,
    ledgers: int,
    say: Callable[[str], None],
    trainers_per_process: int = 1,
    explorer: bool = False,
    traces: bool = False,
) -> Plan:
    """Start what does not run yet, and return when every service is ready; the numbers count for the first start.

    **Raises** UsageError when Kafka or Redis cannot be had here; FlobcError naming the service that did not start.
    """
    settings = load_settings(root, load_genesis(root).params)
    if not is_system_directory(root):
        # before anything starts, so that what an interrupted start leaves behind is found by down and by the next up
        save_plan(root, _draw_plan(ledgers, settings, trainers_per_process))
    plan = load_plan(root)
    say("Kafka ...")
    kafka = ensure_server(get_server(root, "kafka"), lambda port: start_kafka(root / "kafka", port).address, plan.kafka)
    say("Redis ...")
    redis = ensure_server(get_server(root, "redis"), lambda port: start_redis(root / "redis", port).address, plan.redis)
    plan = dataclasses.replace(plan, kafka=kafka, redis=redis)
    if explorer and not plan.explorer:
        plan = dataclasses.replace(plan, explorer=f"{HOST}:{find_free_port(HOST)}")
    if traces:
        plan = dataclasses.replace(plan, traces=True)
    save_plan(root, plan)
    say(
        f"{show_count(len(plan.ledgers), 'ledger')}, {show_count(len(plan.validators), 'validator')}, "
        f"{show_count(plan.trainers, 'trainer')} ..."
    )
    for role, index in plan.list_nodes():
        if get_process(root, role, index).pid is None:
            start_node(root, settings, plan, role, index)
    _wait_until_ready(root, plan)
    return plan


def start_node(root: Path, settings: RunSettings, plan: Plan, role: str, index: int) -> None:
    """Start one service and do not wait. **Raises** UsageError when it runs already."""
    command = [sys.executable, "-P", "-m", f"services.{role}.main"]
    get_process(root, role, index).start(command, _build_environment(root, settings, plan, role, index))


def stop_system(root: Path, say: Callable[[str], None]) -> list[str]:
    """Stop every service, then Redis and Kafka; return the names of those that had to be killed."""
    plan = load_plan(root)
    nodes = [get_process(root, role, index) for role, index in reversed(plan.list_nodes())]
    servers = [get_server(root, name) for name in ("redis", "kafka")]
    killed = []
    say(f"{len(nodes)} services ...")
    for node in nodes:
        node.ask_to_end()
    for process in (*nodes, *servers):
        if not process.stop(STOP_S):
            killed.append(process.name)
    return killed


def _draw_plan(ledgers: int, settings: RunSettings, together: int) -> Plan:
    addresses: dict[str, None] = {}
    while len(addresses) < 2 + ledgers + settings.validators:
        addresses[f"{HOST}:{find_free_port(HOST)}"] = None
    kafka, redis, *services = addresses
    return Plan(kafka, redis, tuple(services[:ledgers]), tuple(services[ledgers:]), settings.trainers, together)


def ensure_server(process: DetachedProcess, start: Callable[[int], str], address: str) -> str:
    """Return the address of a system's own server, started now unless it runs; whoever else listens there is not it.

    **Raises** what ``start`` does; FlobcError when the server runs and does not listen in time.
    """
    host, _, port = address.rpartition(":")
    if process.pid is None:
        return start(int(port))
    # a command that was interrupted may have started it a moment ago
    process.wait_until(lambda: is_port_open(host, int(port)), START_S)
    return address


def _build_environment(root: Path, settings: RunSettings, plan: Plan, role: str, index: int) -> dict[str, str]:
    node = root / "nodes" / f"{role}-{index}"
    environment = {"GENESIS": str(root / "genesis"), "DATA": str(node), "KAFKA": plan.kafka}
    validators = ",".join(plan.validators)
    if role == "explorer":
        environment |= {"LEDGERS": ",".join(plan.ledgers), "LISTEN": plan.explorer}
    elif role == "ledger":
        environment |= {"REDIS": plan.redis, "VALIDATORS": validators, "LISTEN": plan.ledgers[index]}
    if role in ("validator", "trainer"):
        count = settings.trainers if role == "trainer" else settings.validators
        environment |= {"KEY": str(node / "key"), "INDEX": str(index), "SHARDS": str(count)}
        environment |= {"SHARDING": settings.sharding, "SEED": str(settings.seed)}
        if settings.data_directory is not None:
            environment["DATA_SETS"] = str(settings.data_directory)
    if role == "validator":
        others = ",".join(address for place, address in enumerate(plan.validators) if place != index)
        environment |= {"LISTEN": plan.validators[index], "VALIDATORS": others, "INITIAL_MODEL": str(root / "initial")}
    if role == "trainer":
        environment["LEDGERS"] = ",".join(plan.ledgers)
        if index * plan.trainers_per_process >= settings.trainers:
            # beyond the genesis it learns what a member learns: the shards are dealt out for good
            environment["REUSE_SHARDS"] = "true"
        if (root / INVITATION).is_file():
            environment["INVITATION"] = str(root / INVITATION)
        if plan.trainers_per_process > 1:
            environment["KEY"] = str(root / "nodes" / f"trainer-{KEY_INDEX}" / "key")
            environment["TRAINERS_PER_PROCESS"] = str(plan.trainers_per_process)
    if plan.traces and role != "explorer":
        environment["TRACES_FILE"] = str(get_traces_file(root, f"{role}-{index}"))
    # Many processes share this machine's cores: each library's own threads would only get in each other's way.
    return {f"FLOBC_{name}": value for name, value in environment.items()} | {"OMP_NUM_THREADS": "1"}


def _wait_until_ready(root: Path, plan: Plan) -> None:
    until_s = time.monotonic() + START_S
    for role, addresses in (("validator", plan.validators), ("ledger", plan.ledgers)):
        for index, address in enumerate(addresses):
            process = get_process(root, role, index)
            process.wait_until(functools.partial(is_serving, address), max(1.0, until_s - time.monotonic()))
    if plan.explorer:
        host, _, port = plan.explorer.rpartition(":")
        is_open = functools.partial(is_port_open, host, int(port))
        get_process(root, "explorer", 0).wait_until(is_open, max(1.0, until_s - time.monotonic()))
