"""Another number of validators on a real cluster: the chain ends, its successor goes on, and both hold.

What a step costs is printed, not asserted: a busy machine is not a failing test.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.cli.main import main
from flobc.composition.services.parts import load_genesis_file
from flobc.protocol.params import Genesis, get_chain_id
from tests.support.cluster.cluster import Cluster
from tests.support.cluster.release import CHART, PATIENCE_S, Release

NAMESPACE = "flobc-heirs"
FEW, MANY, TRAINERS = 4, 7, 2
VALUES = {
    "validators": {"replicas": FEW},
    "trainers": {"replicas": TRAINERS},
    "explorer": {"enabled": False},
    "succession": {"autoApprove": True},
    "chain": {"options": ["--period", "5", "--epochs", "4"]},
}


@pytest.fixture(scope="module")
def release(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    heirs = Release(cluster, NAMESPACE, "heirs")
    heirs.install(tmp_path_factory.mktemp("heirs"), VALUES)
    heirs.wait_until("the first block", lambda: heirs.read_height() >= 1)
    heirs.wait_until(
        f"updates of {TRAINERS} trainers", lambda: len(heirs.list_trainers(heirs.read_height())) == TRAINERS
    )
    yield heirs
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout_s=PATIENCE_S)


def load_generation(release: Release, folder: Path, generation: int) -> Genesis:
    """A generation's genesis, as it is kept for ever."""
    name = f"{release.name}-chain" + (f"-{generation}" if generation > 1 else "")
    path = folder / f"genesis-{generation}"
    path.write_bytes(release.read_entry(name, "genesis"))
    return load_genesis_file(path)


def check_successor(release: Release, folder: Path, generation: int, validators: int, began_s: float) -> None:
    """The successor has so many validators, goes on from a block of its parent with its trainers, and verifies."""
    release.wait_for_pods("validator", validators)
    parent, genesis = (load_generation(release, folder, which) for which in (generation - 1, generation))
    assert len(genesis.validators) == validators
    assert genesis.parent is not None
    assert set(parent.trainers) <= set(genesis.trainers)
    release.wait_until("a block of the successor", lambda: release.read_height() >= 1)
    print(f"\n  {len(parent.validators)} to {validators} validators, first block of the successor: ", end="")
    print(
        f"{time.monotonic() - began_s:.1f} s; it starts from block {genesis.parent.header.height}", end="", flush=True
    )
    release.wait_for_blocks()
    verified = release.verify("--parent", str(folder / f"genesis-{generation - 1}"))
    assert verified["chain"] == get_chain_id(genesis).hex()
    assert verified["parent"] == get_chain_id(parent).hex()
    assert verified["succession"] == "verified"
    assert verified["start"] == genesis.parent.header.height >= 1


def test_a_changed_number_of_validators_is_a_succession(release: Release, tmp_path: Path) -> None:
    """CHAIN-13 to CHAIN-18: 4 validators approve, 7 go on, with keys of which 3 are new."""
    old = release.read_height()
    start_s = time.monotonic()
    release.upgrade(tmp_path, {**VALUES, "validators": {"replicas": MANY}})
    print(f"\n  helm upgrade from {FEW} to {MANY} validators returned: {time.monotonic() - start_s:.1f} s", end="")
    check_successor(release, tmp_path, 2, MANY, start_s)
    genesis = load_generation(release, tmp_path, 2)
    assert genesis.parent is not None
    assert genesis.parent.header.height >= old, "no certified block is left behind"
    assert set(load_generation(release, tmp_path, 1).validators) < set(genesis.validators)


def test_helm_test_verifies_the_successor_and_whose_it_is(release: Release) -> None:
    said = release.test()
    assert said.count("Succeeded") >= 2, said
    assert "succession" in said
    assert "verified" in said


def test_there_is_no_way_back_to_the_chain_that_ended(release: Release) -> None:
    before = release.list_ready("validator")
    with pytest.raises(RuntimeError, match="rollback"):
        release.rollback(1)
    assert release.list_ready("validator") == before
    release.rollback(2)  # until then Helm takes the other one for unfinished
    assert release.list_ready("validator") == before
    release.wait_for_blocks()


def test_a_validator_too_many_waits_and_a_missing_one_is_waited_for(release: Release) -> None:
    release.scale("validator", MANY + 1)
    pod = f"{release.name}-validator-{MANY}"
    said = f"enrols no validator-{MANY}, so it waits idle"
    release.wait_until(f"what {pod} says", lambda: said in release.kubectl("logs", pod, "-c", "enrol", check=False))
    release.wait_for_blocks()
    release.scale("validator", MANY - 1)
    release.wait_for_pods("validator", MANY - 1)
    release.wait_for_blocks()
    release.scale("validator", MANY)
    release.wait_for_pods("validator", MANY)


def test_fewer_validators_by_flobc_scale(release: Release, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The last ones go, and leave their volumes behind."""
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "helm").symlink_to(release.cluster.helms[max(release.cluster.helms)])
    monkeypatch.setenv("PATH", f"{programs}:{Path(str(shutil.which('kubectl'))).parent}:/usr/bin:/bin")
    start_s = time.monotonic()
    where = ["--release", release.release, "--namespace", NAMESPACE, "--kubeconfig", str(release.cluster.kubeconfig)]
    command = ["scale", "--validators", str(FEW), *where, "--chart", str(CHART), "--timeout", str(int(PATIENCE_S))]
    assert main(command) == 0
    check_successor(release, tmp_path, 3, FEW, start_s)
    assert set(load_generation(release, tmp_path, 3).validators) == set(
        load_generation(release, tmp_path, 1).validators
    )
    claims = {claim["metadata"]["name"] for claim in release.list_objects("pvc")}
    assert {f"data-{release.name}-validator-{index}" for index in range(MANY)} <= claims
