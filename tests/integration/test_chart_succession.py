"""The chart's succession Jobs against a whole system: its ledgers, its log, and its validators' own directories."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FileModels
from flobc.adapters.filesystem.keys import load_key_file
from flobc.composition.run_directory import load_genesis
from flobc.composition.succession import load_genesis_alone
from flobc.composition.verification.succession import verify_succession
from flobc.protocol.params import Genesis, get_chain_id
from tests.support.chart_scripts import Api, enrol, run_script, serve_api, store
from tests.support.system import PATIENCE_S, VALIDATORS, WholeSystem, whole_system

MORE = VALIDATORS + 1
PLAN, NEXT = "r1-flobc-succession-2", "r1-flobc-chain-2"
APPROVALS = [f"{PLAN}-approval-{index}" for index in range(VALIDATORS)]
SET = "/apis/apps/v1/namespaces/prod/statefulsets/r1-flobc-validator"
BROKEN = 2
"""A validator whose volume was lost, so it cannot know what it sealed."""


@pytest.fixture
def api() -> Iterator[Api]:
    with serve_api() as served:
        yield served


class Jobs:
    """Runs each Job as the chart does."""

    def __init__(self, api: Api, system: WholeSystem) -> None:
        self.api, self.system = api, system
        self.names = {"CHAIN": "r1-flobc-chain", "NEXT": NEXT, "PLAN": PLAN, "LEDGERS": ",".join(system.plan.ledgers)}
        self.names |= {"KEYS": "r1-flobc-validator-keys", "NEXT_KEYS": "r1-flobc-validator-keys-2"}
        self.names |= {"STATEFUL_SET": "r1-flobc-validator", "SELECTOR": "app=flobc", "APPROVALS": ",".join(APPROVALS)}
        self.names |= {"FLOBC_KAFKA": system.plan.kafka, "FLOBC_GENESIS": "none", "FLOBC_DATA": "none"}
        self.names |= {"FLOBC_REDIS": "none", "FLOBC_VALIDATORS": "none"}

    def run(self, name: str, expect: int = 0, **variables: str) -> str:
        done = run_script(self.api, f"{name}_succession.py", **(self.names | variables))
        assert done.returncode == expect, done.stdout + done.stderr
        return done.stdout + done.stderr

    def approve(self, index: int, folder: Path) -> str:
        places = {"DATA": str(self.system.root / "nodes" / f"validator-{index}")}
        places |= {"CHAIN": str(self.system.root), "PLAN": str(folder)}
        return self.run("approve", INDEX=str(index), APPROVAL=APPROVALS[index], **places)


def publish(api: Api, root: Path) -> Genesis:
    """Store the system's chain and keys as the genesis Job does, and lay out its nodes as ``enrol.sh`` does."""
    files = [root / "genesis", *(root / "initial").iterdir()]
    store(api, "configmaps", "r1-flobc-chain", {path.name: path.read_bytes() for path in files})
    nodes = {f"validator-{index}": root / "nodes" / f"validator-{index}" for index in range(VALIDATORS)}
    store(
        api, "secrets", "r1-flobc-validator-keys", {name: (node / "key").read_bytes() for name, node in nodes.items()}
    )
    for name, node in nodes.items():
        (node / "keys").mkdir()
        (node / "keys" / name).touch(0o600)
        (node / "keys" / name).write_bytes((node / "key").read_bytes())
        (node / "genesis").write_bytes((root / "genesis").read_bytes())
    os.rename(root / "nodes" / f"validator-{BROKEN}" / "genesis", root / "elsewhere")
    return load_genesis(root)


def test_the_jobs_carry_a_chain_over_to_more_validators(api: Api, tmp_path: Path) -> None:
    """CHAIN-14 to CHAIN-17, in the order of the hooks; each Job may run again."""
    root, plan, pod = tmp_path / "chain", tmp_path / "plan", tmp_path / "pod"
    with whole_system(root) as system:
        system.wait_for_blocks(2)
        parent, jobs = publish(api, root), Jobs(api, system)
        api.sets, api.pods = {SET}, [2, 1, 0]
        jobs.run("begin", VALIDATORS=str(MORE))
        assert api.deleted == [SET]
        assert not api.pods, "it waited until no pod was left"
        jobs.run("begin", VALIDATORS=str(MORE))
        assert "cannot be taken back" in jobs.run("begin", 2, VALIDATORS=str(MORE + 1))
        for index in range(VALIDATORS):
            assert system.get_process(f"validator-{index}").stop(PATIENCE_S)
        plan.mkdir()
        (plan / "plan").write_bytes(api.get_entries("configmaps", PLAN)["plan"])
        said = [jobs.approve(index, plan) for index in range(VALIDATORS)]
        assert ["not of this chain" in words for words in said] == [index == BROKEN for index in range(VALIDATORS)]
        assert "approved already" in jobs.approve(0, plan)
        height = system.read_height()
        assert f"holds up to block {height}" in jobs.run("complete")
        assert "there already" in jobs.run("complete")
    entries = api.get_entries("configmaps", NEXT)
    (pod / "data").mkdir(parents=True)
    (pod / "chain").mkdir()
    for name, content in entries.items():
        (pod / "chain" / name).write_bytes(content)
    genesis = load_genesis_alone(pod / "chain" / "genesis")
    assert verify_succession(root / "genesis", genesis) is False
    assert genesis.parent is not None
    assert genesis.parent.header.height >= height
    assert FileModels(pod / "chain").get(genesis.initial_model) is not None
    keys = api.get_entries("secrets", "r1-flobc-validator-keys-2")
    (pod / "keys").mkdir()
    for name, content in keys.items():
        (pod / "keys" / name).touch(0o600)
        (pod / "keys" / name).write_bytes(content)
    assert {load_key_file(path).public_key for path in (pod / "keys").iterdir()} == set(genesis.validators)
    assert set(parent.validators) < set(genesis.validators)
    # a volume of the old chain goes on with the successor, and only with it
    (pod / "data" / "genesis").write_bytes(entries["parent"])
    assert enrol(pod, "validator", 0).returncode == 0
    assert (pod / "data" / "genesis").read_bytes() == entries["genesis"]
    (pod / "data" / "genesis").write_bytes(b"a stranger")
    assert "belongs to another chain" in enrol(pod, "validator", 0).stderr
    assert get_chain_id(parent) == genesis.parent.header.chain
