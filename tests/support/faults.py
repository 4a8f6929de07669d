"""A whole system whose members can be cut off from its servers, at a moment that is certain."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FileSeals
from flobc.adapters.filesystem.keys import load_key_file
from flobc.adapters.grpc import LedgerClient
from flobc.composition.local import system as local_system
from flobc.composition.local.kafka import start_kafka
from flobc.composition.local.kafka_runner import find_runner
from flobc.composition.local.plan import Plan
from flobc.composition.local.ports import find_free_port
from flobc.composition.local.system import create_system
from flobc.composition.presets import get_preset
from flobc.composition.run_directory import load_genesis, load_settings
from flobc.composition.settings import RunSettings
from flobc.errors import RemoteProtocolError
from flobc.protocol.chain.block import Block
from flobc.protocol.identity import Identity
from flobc.protocol.messages import Seal, UpdateChunk, UpdateHeader, compute_update_id, decode_record, verify_message
from flobc.protocol.params import Genesis
from tests.support.gated_task import GATES, closed_gate, list_waiting, task
from tests.support.proxy import Proxy
from tests.support.system import LEDGERS, PERIOD_S, TRAINERS, VALIDATORS, WholeSystem, running
from tests.support.topics import keep_trying

CHUNK_SIZE = 1_000
"""Coordinates in a chunk: an update has forty of them, which the task lets travel in several requests."""
KAFKA_DETOURS = ("trainer-1", "validator-3")
REDIS_DETOUR = "ledger-0"


class FaultySystem(WholeSystem):
    """A system in which some members reach Kafka or Redis through proxies: ``detours``, by the members' names."""

    def __init__(self, root: Path, detours: Mapping[str, Proxy], gates: Path) -> None:
        super().__init__(root)
        self.detours = detours
        self._gates = gates

    @property
    def genesis(self) -> Genesis:
        return load_genesis(self.root)

    def get_directory(self, name: str) -> Path:
        return self.root / "nodes" / name

    def load_identity(self, name: str) -> Identity:
        return load_key_file(self.get_directory(name) / "key")

    def start(self, name: str) -> None:
        """Start one service and do not wait for it, nor for anybody else."""
        role, _, index = name.partition("-")
        settings = load_settings(self.root, self.genesis.params)
        environment = local_system._build_environment(self.root, settings, self.plan, role, int(index))
        self.get_process(name).start([sys.executable, "-m", f"services.{role}.main"], environment)

    def load_seal(self, name: str) -> Seal | None:
        """What a validator has sealed last, as its own disk has it."""
        return FileSeals(self.get_directory(name) / "seals", lambda: None).load(self.load_identity(name).public_key)

    @contextmanager
    def held_scoring(self, name: str) -> Iterator[int]:
        """Hold a validator's scoring process in the midst of its work; its number."""
        pid = self.get_process(name).pid
        assert pid is not None
        before = set(list_waiting(self._gates))
        with closed_gate(self._gates, pid):
            self.wait_until(f"{name} scores", lambda: bool(set(list_waiting(self._gates)) - before))
            (worker,) = set(list_waiting(self._gates)) - before
            yield worker

    def get_block(self, height: int) -> Block:
        client = LedgerClient(self.plan.ledgers)
        try:
            block = client.get_block(height)
        finally:
            client.close()
        assert block is not None
        return block

    def wait_for_accepted(self, trainer: str, base: int) -> float:
        """Wait until a block uses an update of this trainer from ``base`` or later."""
        key = self.load_identity(trainer).public_key
        seen = [base]

        def is_accepted() -> bool:
            while seen[0] < self.read_height():
                seen[0] += 1
                accepted = self.get_block(seen[0]).accepted
                if any(item.trainer == key and item.base_height >= base for item in accepted):
                    return True
            return False

        return self.wait_until(f"an update of {trainer} from {base} or later is accepted", is_accepted)

    def read_updates(self) -> list[UpdateHeader | UpdateChunk]:
        """Everything that the updates topic holds by now, in the order of each partition."""
        found: list[UpdateHeader | UpdateChunk] = []
        with self.open_topics() as (_, updates):
            ends = {number: end for number, end in updates.ends().items() if end}
            updates.seek({})
            while ends:
                for entry in keep_trying(lambda: updates.read(1)):
                    if entry.offset + 1 >= ends.get(entry.partition, 0):
                        ends.pop(entry.partition, None)
                    with contextlib.suppress(RemoteProtocolError):
                        record = decode_record(entry.value)
                        if isinstance(record, UpdateHeader | UpdateChunk):
                            found.append(record)
        return found

    def read_headers(self, trainer: str) -> list[UpdateHeader]:
        """The headers in the updates topic that a trainer has signed."""
        key = self.load_identity(trainer).public_key
        headers = (record for record in self.read_updates() if isinstance(record, UpdateHeader))
        return [header for header in headers if header.trainer == key and verify_message(header)]

    def count_chunks(self, header: UpdateHeader) -> int:
        """How many of an update's chunks stand in the updates topic."""
        update = compute_update_id(header)
        found = (record for record in self.read_updates() if isinstance(record, UpdateChunk))
        return len({chunk.index for chunk in found if chunk.update == update})


@contextmanager
def faulty_system(root: Path) -> Iterator[FaultySystem]:
    """A system for tests that is stopped at their end; skips where there is no Kafka or Redis, or only in Docker."""
    if find_runner(root, 0).container:
        pytest.skip("a container shows one port, and these tests need three")
    gates = root.parent / "gates"
    gates.mkdir()
    proxies = {name: Proxy(f"127.0.0.1:{find_free_port()}", framed=True) for name in KAFKA_DETOURS}
    proxies[REDIS_DETOUR] = Proxy("", framed=False)
    system = FaultySystem(root, proxies, gates)
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as closing:
        for proxy in proxies.values():
            closing.callback(proxy.close)
        patch.setenv(GATES, str(gates))
        patch.setattr(local_system, "start_kafka", partial(start_kafka, more=_build_listeners(proxies)))
        patch.setattr(local_system, "_build_environment", partial(_detour, proxies, local_system._build_environment))
        create_system(root, _build_settings(), LEDGERS)
        closing.enter_context(running(system, system.restart))
        yield system


def _build_settings() -> RunSettings:
    settings = get_preset("default")
    sync = replace(settings.params.sync, period_ms=1000 * PERIOD_S)
    params = replace(settings.params, sync=sync, codec="float32")
    return replace(
        settings, task=task.name, trainers=TRAINERS, validators=VALIDATORS, params=params, chunk_size=CHUNK_SIZE
    )


def _build_listeners(proxies: Mapping[str, Proxy]) -> dict[str, str]:
    """One more listener for each member with a detour: whoever comes by it is told to come again through the proxy."""
    names = {f"DETOUR{number}": proxies[name] for number, name in enumerate(KAFKA_DETOURS)}
    usual = "PLAINTEXT://{host}:{port}", "CONTROLLER://{host}:{controller_port}"
    return {
        "listeners": ",".join((*usual, *(f"{name}://{proxy.target}" for name, proxy in names.items()))),
        "advertised.listeners": ",".join((*usual, *(f"{name}://{proxy.address}" for name, proxy in names.items()))),
        "listener.security.protocol.map": ",".join(f"{name}:PLAINTEXT" for name in ("PLAINTEXT", "CONTROLLER", *names)),
    }


def _detour(
    proxies: Mapping[str, Proxy],
    build: Callable[..., dict[str, str]],
    root: Path,
    settings: RunSettings,
    plan: Plan,
    role: str,
    index: int,
) -> dict[str, str]:
    """The environment of a service, with its proxy where its server would stand."""
    environment = build(root, settings, plan, role, index)
    name = f"{role}-{index}"
    if name == REDIS_DETOUR:
        proxies[name].target = plan.redis
        environment["FLOBC_REDIS"] = proxies[name].address
    elif name in proxies:
        environment["FLOBC_KAFKA"] = proxies[name].address
    return environment


def is_running(pid: int) -> bool:
    """Return whether there is such a process that has not ended."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
