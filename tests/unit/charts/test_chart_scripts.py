"""What the chart's pods run beside the services: the programs of its Jobs and the script that enrols a node."""

import hashlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from flobc.adapters.filesystem import FileModels
from flobc.adapters.filesystem.keys import create_key_file, load_key_file
from flobc.composition.organisations.invitations import find_join
from flobc.composition.services.parts import load_genesis_file
from flobc.protocol.params import Genesis
from tests.support.chart_scripts import Api, enrol, mount, run_script, serve_api, store

ARGUMENTS = ["--task", "synthetic", "--trainers", "1", "--validators", "4", "--admission", "invite"]
NAMES = {
    "CHAIN": "r1-flobc-chain",
    "TRAINER_KEYS": "r1-flobc-trainer-keys",
    "VALIDATOR_KEYS": "r1-flobc-validator-keys",
    "OPERATOR_KEY": "r1-flobc-operator-key",
    "INVITATION": "r1-flobc-invitation",
}
LIMITS = {"MAX_JOINS": "20", "UNTIL_HEIGHT": "1000", "SUCCESSOR": "r1-flobc-chain-2"}


@pytest.fixture
def api() -> Iterator[Api]:
    with serve_api() as served:
        yield served


@pytest.fixture(scope="module")
def published() -> Iterator[Api]:
    """An API to which a Job published a chain, which broke off before the end, and then another Job."""
    with serve_api() as served:
        served.refuses = {NAMES["CHAIN"]}
        broken = publish(served)
        assert broken.returncode == 1
        assert "tries again" in broken.stderr
        served.half = dict(served.objects)
        served.refuses = set()
        done = publish(served)
        assert done.returncode == 0, done.stderr
        served.said = "".join((broken.stdout, broken.stderr, done.stdout, done.stderr))
        yield served


def publish(api: Api, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    return run_script(api, "publish_genesis.py", *(arguments or ARGUMENTS), **(NAMES | LIMITS | variables))


def test_a_job_that_broke_off_goes_on_with_the_same_keys(published: Api) -> None:
    secrets = {kind: published.get_entries("secrets", NAMES[kind]) for kind in NAMES if kind != "CHAIN"}
    assert sorted(secrets["VALIDATOR_KEYS"]) == [f"validator-{index}" for index in range(4)]
    assert sorted(secrets["TRAINER_KEYS"]) == ["trainer-0"]
    assert len(published.half) == len(NAMES) - 1
    assert {path: published.objects[path] for path in published.half} == published.half


def test_what_is_stored_is_kept_and_never_said(published: Api) -> None:
    assert all(item["immutable"] for item in published.objects.values())
    kept = [item["metadata"]["annotations"]["helm.sh/resource-policy"] for item in published.objects.values()]
    assert kept == ["keep"] * len(NAMES)
    for kind in ("VALIDATOR_KEYS", "TRAINER_KEYS", "OPERATOR_KEY"):
        for key in published.get_entries("secrets", NAMES[kind]).values():
            assert key.decode().strip().rpartition(":")[2] not in published.said


def test_a_chain_that_is_there_is_left_as_it_is(published: Api) -> None:
    before = dict(published.objects)
    assert publish(published).returncode == 0
    other = publish(published, *ARGUMENTS, "--sync", "ssp")
    assert other.returncode == 2
    assert "a chain never changes" in other.stderr
    assert published.objects == before


def test_every_node_can_enrol(published: Api, tmp_path: Path) -> None:
    """Validators and the founder with the stored keys; a trainer beyond it with its own, by invitation."""
    mount(tmp_path / "chain", published.get_entries("configmaps", NAMES["CHAIN"]))
    mount(tmp_path / "invitation", published.get_entries("secrets", NAMES["INVITATION"]))
    for role, index in (("validator", 2), ("trainer", 0), ("trainer", 7)):
        place = tmp_path / f"{role}-{index}"
        (place / "data").mkdir(parents=True)
        (place / "chain").symlink_to(tmp_path / "chain")
        (place / "invitation").symlink_to(tmp_path / "invitation")
        mount(place / "keys", published.get_entries("secrets", NAMES[f"{role.upper()}_KEYS"]))
        enrolled = enrol(place, role, index)
        assert enrolled.returncode == 0, enrolled.stderr
        before = (place / "data" / "keys" / f"{role}-{index}").read_bytes()
        assert enrol(place, role, index).returncode == 0, "a restart does it again"
        assert (place / "data" / "keys" / f"{role}-{index}").read_bytes() == before

        data = place / "data"
        genesis = load_genesis_file(data / "genesis")
        identity = load_key_file(data / "keys" / f"{role}-{index}")
        assert (data / "keys" / f"{role}-{index}").stat().st_mode & 0o077 == 0
        if role == "validator":
            assert identity.public_key in genesis.validators
            assert FileModels(data / "initial").get(genesis.initial_model) is not None
        else:
            assert (find_join(genesis, identity, data / "invitation") is None) is (index == 0)


def test_a_pod_of_several_trainers_has_a_key_for_each(tmp_path: Path) -> None:
    mount(tmp_path / "chain", {"genesis": b"a chain"})
    mount(tmp_path / "keys", {"trainer-6": b"a founder"})
    (tmp_path / "data").mkdir()
    enrolled = enrol(tmp_path, "trainer", 2, per_pod=3)
    assert enrolled.returncode == 0, enrolled.stderr
    keys = {path.name: path.read_bytes() for path in (tmp_path / "data" / "keys").iterdir()}
    assert sorted(keys) == ["trainer-6", "trainer-7", "trainer-8"]
    assert keys["trainer-6"] == b"a founder"
    assert keys["trainer-7"] != keys["trainer-8"]


def test_keys_that_somebody_brings_are_the_chain_s(api: Api, tmp_path: Path) -> None:
    keys = {}
    for index in range(4):
        create_key_file(tmp_path / str(index))
        keys[f"validator-{index}"] = (tmp_path / str(index)).read_bytes()
    store(api, "secrets", "committee", dict(list(keys.items())[:3]))
    lacking = publish(api, VALIDATOR_KEYS="committee")
    assert lacking.returncode == 2
    assert "committee lacks validator-3" in lacking.stderr
    store(api, "secrets", "committee", keys)
    done = publish(api, VALIDATOR_KEYS="committee")
    assert done.returncode == 0, done.stderr
    genesis = load_chain(api, tmp_path)
    assert {load_key_file(tmp_path / str(index)).public_key for index in range(4)} == set(genesis.validators)


def load_chain(api: Api, folder: Path) -> Genesis:
    (folder / "genesis").write_bytes(api.get_entries("configmaps", NAMES["CHAIN"])["genesis"])
    return load_genesis_file(folder / "genesis")


def test_the_first_scale_is_set_for_each_that_is_named(api: Api) -> None:
    done = run_script(api, "set_scale.py", "statefulsets/r1-flobc-trainer=3", "deployments/r1-flobc-ledger=0")
    assert done.returncode == 0, done.stderr
    kind = "application/merge-patch+json"
    assert api.patches == {
        "/apis/apps/v1/namespaces/prod/statefulsets/r1-flobc-trainer/scale": (kind, {"spec": {"replicas": 3}}),
        "/apis/apps/v1/namespaces/prod/deployments/r1-flobc-ledger/scale": (kind, {"spec": {"replicas": 0}}),
    }


def test_invalid_options_store_no_chain(api: Api) -> None:
    refused = publish(api, *ARGUMENTS, "--sync", "sometimes")
    assert refused.returncode == 2
    assert "--sync" in refused.stderr
    assert not any("chain" in path for path in api.objects)


def test_a_validator_beyond_the_genesis_waits_idle_and_says_so(tmp_path: Path) -> None:
    mount(tmp_path / "chain", {"genesis": b"a chain"})
    mount(tmp_path / "keys", {"validator-0": b"a key"})
    (tmp_path / "data").mkdir()
    idle = enrol(tmp_path, "validator", 6)
    assert idle.returncode == 0, "it has waited for as long as it was told to"
    assert "enrols no validator-6, so it waits idle" in idle.stderr
    assert list((tmp_path / "data").iterdir()) == []


def test_invalid_a_volume_of_another_chain_is_left_as_it_is(tmp_path: Path) -> None:
    mount(tmp_path / "chain", {"genesis": b"a chain"})
    mount(tmp_path / "keys", {"trainer-0": b"a key"})
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "genesis").write_bytes(b"another chain")
    refused = enrol(tmp_path, "trainer", 0)
    assert refused.returncode == 1
    assert "belongs to another chain" in refused.stderr
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["genesis"]


def test_invalid_no_way_leads_back_to_a_chain_that_has_a_successor(published: Api) -> None:
    before = dict(published.objects)
    store(published, "configmaps", "r1-flobc-chain-2", {"genesis": b"a successor"})
    refused = publish(published)
    published.objects = before
    assert refused.returncode == 2
    assert "its successor is in ConfigMap r1-flobc-chain-2" in refused.stderr


def test_a_chain_that_was_succeeded_keeps_its_other_options(published: Api) -> None:
    arguments = ["7" if item == "4" else item for item in ARGUMENTS]
    assert publish(published, *arguments).returncode == 2, "in the first generation the number is the chain's"
    assert publish(published, *arguments, SUCCEEDED="yes").returncode == 0
    assert publish(published, *arguments, "--sync", "ssp", SUCCEEDED="yes").returncode == 2


def test_a_volume_goes_on_with_any_later_generation_and_no_other(tmp_path: Path) -> None:
    first, second = b"the first", b"the second"
    ancestors = "".join(f"{hashlib.sha256(one).hexdigest()}\n" for one in (first, second)).encode()
    mount(tmp_path / "chain", {"genesis": b"the third", "ancestors": ancestors, "parent": second})
    mount(tmp_path / "keys", {"trainer-0": b"a key"})
    genesis = tmp_path / "data" / "genesis"
    genesis.parent.mkdir()
    for before, code in ((first, 0), (second, 0), (b"a stranger", 1)):
        genesis.write_bytes(before)
        assert enrol(tmp_path, "trainer", 0).returncode == code
        assert genesis.read_bytes() == (before if code else b"the third")
