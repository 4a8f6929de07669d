"""Scaling a release through the API: what is patched, what is refused, and when it is ready."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from flobc.adapters.grpc import LedgerClient, LedgerServer
from flobc.adapters.kubernetes import Cluster, KubernetesScaler, PodForward, PodMeter, connect
from flobc.cli.main import main
from flobc.composition.scaling.cluster import Access, Release
from flobc.composition.scaling.measuring import compute_cores, compute_machine_share
from flobc.composition.scaling.plan import LoadPlan, Step
from flobc.composition.scaling.targets import restoring
from flobc.errors import TransientError, UsageError
from tests.support.kube_api import NAMESPACE, NODE, RELEASE, KubeApi, serving_api
from tests.support.served_chain import ServedChain

OWN = ",".join(f"{RELEASE}-validator-{index}.{RELEASE}-validator:7000" for index in range(4))


@pytest.fixture
def api() -> Iterator[KubeApi]:
    with serving_api() as served:
        served.add_set("trainer", 6)
        served.add_set("validator", 4, FLOBC_SHARDS="4", FLOBC_VALIDATORS=OWN)
        served.add_set("trainer", 9, release="other")
        yield served


@pytest.fixture
def cluster(api: KubeApi, tmp_path: Path) -> Cluster:
    return connect(str(api.write_kubeconfig(tmp_path / "kubeconfig")))


@pytest.fixture
def scaler(cluster: Cluster) -> KubernetesScaler:
    return KubernetesScaler(cluster, NAMESPACE, RELEASE)


def test_a_role_is_scaled_and_no_other(api: KubeApi, scaler: KubernetesScaler) -> None:
    assert (scaler.get_replicas("trainer"), scaler.get_replicas("validator")) == (6, 4)
    scaler.set_replicas("trainer", 3)
    assert api.patches == [(f"{RELEASE}-trainer", 3)]
    assert (scaler.get_replicas("trainer"), scaler.get_replicas("validator")) == (3, 4)


def test_what_is_so_already_is_not_patched_and_needs_no_right(api: KubeApi, scaler: KubernetesScaler) -> None:
    api.add_autoscaler("grow", f"{RELEASE}-trainer")
    scaler.set_replicas("trainer", 6)
    assert api.patches == []


def test_it_is_ready_when_all_pods_are_and_none_is_left(api: KubeApi, scaler: KubernetesScaler) -> None:
    assert scaler.is_ready("trainer")
    scaler.set_replicas("trainer", 8)
    assert not scaler.is_ready("trainer")  # the controller has not seen it
    api.settle("trainer", ready=7)
    assert not scaler.is_ready("trainer")
    api.settle("trainer")
    assert scaler.is_ready("trainer")
    scaler.set_replicas("trainer", 2)
    api.settle("trainer")
    api.sets[f"{RELEASE}-trainer"]["status"]["replicas"] = 3
    assert not scaler.is_ready("trainer")


def test_an_autoscaler_is_not_fought(api: KubeApi, scaler: KubernetesScaler) -> None:
    api.add_autoscaler("others", "other-trainer")
    api.add_autoscaler("grow", f"{RELEASE}-trainer")
    with pytest.raises(UsageError, match=r"The autoscaler grow in flobc scales lab-trainer .* delete hpa grow"):
        scaler.set_replicas("trainer", 3)
    assert api.patches == []
    scaler.validate_replicas("validator", 3)


@pytest.mark.parametrize(
    ("replicas", "words"),
    [
        (5, "has 4 of its chain's validators .* flobc scale --validators 5 --release lab"),
        (2, "3 must agree .* leave 3"),
    ],
)
def test_validators_only_within_what_the_chain_bears(replicas: int, words: str, scaler: KubernetesScaler) -> None:
    """CHAIN-5: a quorum of the genesis's validators."""
    with pytest.raises(UsageError, match=words):
        scaler.validate_replicas("validator", replicas)


def test_one_of_several_organisations_may_stop_its_validators(api: KubeApi, scaler: KubernetesScaler) -> None:
    peers = OWN + "," + ",".join(f"east-validator-{index}.east-validator:7000" for index in range(9))
    api.add_set("validator", 4, FLOBC_SHARDS="13", FLOBC_VALIDATORS=peers)
    scaler.validate_replicas("validator", 0)
    with pytest.raises(UsageError, match="has 4 of its chain's"):
        scaler.validate_replicas("validator", 5)


def test_invalid_release(cluster: Cluster) -> None:
    with pytest.raises(UsageError, match=r"There is no release nobody with trainers in namespace flobc"):
        KubernetesScaler(cluster, NAMESPACE, "nobody").get_replicas("trainer")


@pytest.mark.parametrize(
    ("status", "kind", "words"),
    [
        (403, UsageError, "does not let you scale lab-trainer .*docs/load.md"),
        (422, UsageError, "refused to scale"),
        (409, TransientError, "could not scale lab-trainer now"),
        (503, TransientError, "could not scale"),
    ],
)
def test_refusals_say_whether_to_try_again(
    status: int, kind: type[Exception], words: str, api: KubeApi, scaler: KubernetesScaler
) -> None:
    api.refusals["/scale"] = status
    with pytest.raises(kind, match=words):
        scaler.set_replicas("trainer", 3)


def test_invalid_cluster_that_is_not_there(tmp_path: Path) -> None:
    with serving_api() as gone:
        path = gone.write_kubeconfig(tmp_path / "kubeconfig")
    with pytest.raises(TransientError, match="cannot be reached"):
        KubernetesScaler(connect(str(path)), NAMESPACE, RELEASE).get_replicas("trainer")
    with pytest.raises(UsageError, match=r"no usable configuration .*--kubeconfig"):
        connect(str(tmp_path / "nowhere"))
    with pytest.raises(UsageError, match="no usable configuration"):
        connect(str(path), "elsewhere")


def test_replicas_are_restored_whatever_happens(api: KubeApi, scaler: KubernetesScaler) -> None:
    said: list[str] = []

    def settle(sentence: str) -> None:
        said.append(sentence)
        api.sets[f"{RELEASE}-trainer"]["status"]["observedGeneration"] = 99  # as soon as it is patched again
        api.sets[f"{RELEASE}-trainer"]["status"] |= {"replicas": 6, "readyReplicas": 6}

    with pytest.raises(KeyboardInterrupt), restoring(scaler, settle, 30):  # noqa: PT012
        scaler.set_replicas("trainer", 1)
        raise KeyboardInterrupt
    assert api.patches == [(f"{RELEASE}-trainer", 1), (f"{RELEASE}-trainer", 6)]
    assert said == ["Restoring 6 trainers ..."]


def test_restoring_goes_on_while_the_api_refuses(api: KubeApi, scaler: KubernetesScaler) -> None:
    said: list[str] = []

    def settle(sentence: str) -> None:
        said.append(sentence)
        if len(said) == 2:
            del api.refusals["/scale"]
            api.sets[f"{RELEASE}-trainer"]["status"] = {"observedGeneration": 9, "replicas": 6, "readyReplicas": 6}

    with restoring(scaler, settle, 30):
        scaler.set_replicas("trainer", 1)
        api.refusals["/scale"] = 503
    assert api.patches == [(f"{RELEASE}-trainer", 1), (f"{RELEASE}-trainer", 6)]


def test_a_plan_is_checked_before_anything_changes(api: KubeApi, cluster: Cluster) -> None:
    steps = (Step(7, 4), Step(5, 5))
    plan = LoadPlan("x", steps)
    with pytest.raises(UsageError, match="has 4 of its chain's"):
        Release(cluster, NAMESPACE, RELEASE, plan, Access(), print).validate(steps)
    api.add_set("trainer", 5, release="lab-5")
    api.add_set("validator", 5, release="lab-5", FLOBC_SHARDS="5")
    api.add_set("trainer", 5, release="lab-4")
    api.add_set("validator", 4, release="lab-4", FLOBC_SHARDS="4")
    Release(cluster, NAMESPACE, "lab-{validators}", plan, Access(), print).validate(steps)
    assert api.patches == []


def test_flobc_scale_on_a_cluster(api: KubeApi, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["-n", NAMESPACE, "--release", RELEASE, "--kubeconfig", str(api.write_kubeconfig(tmp_path / "kubeconfig"))]
    assert main(["scale", "--trainers", "6", *where, "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"before": {"trainer": 6}, "now": {"trainer": 6}}
    assert main(["scale", "--validators", "9", "--trainers", "1", *where]) == 2
    assert "4 of its chain's validators" in capsys.readouterr().err
    assert api.patches == []  # all numbers are checked before the first is set
    assert main(["scale", "--trainers", "7", "--timeout", "0.1", *where]) == 4
    assert "for 7 trainers to come up" in capsys.readouterr().err


def tell_usage(api: KubeApi, at: str, node: float, trainers: float) -> None:
    """What the kubelet says: seconds of the node, and of each of two trainers."""
    pods = [
        {"podRef": {"name": name, "namespace": namespace}, "cpu": {"usageCoreNanoSeconds": int(seconds * 1e9)}}
        for name, namespace, seconds in (
            (f"{RELEASE}-trainer-0", NAMESPACE, trainers),
            (f"{RELEASE}-trainer-1", NAMESPACE, trainers),
            (f"{RELEASE}-trainer-0", "elsewhere", 1e6),
            ("stranger", NAMESPACE, 1e6),
        )
    ]
    api.summary = {"node": {"cpu": {"time": at, "usageCoreNanoSeconds": int(node * 1e9)}}, "pods": pods}


def test_usage_is_what_the_kubelet_counts(api: KubeApi, cluster: Cluster) -> None:
    for index in range(2):
        api.add_pod("trainer", index)
    meter = PodMeter(cluster, NAMESPACE, RELEASE)
    tell_usage(api, "2030-01-01T00:00:00Z", 100, 10)
    before = meter.read()
    tell_usage(api, "2030-01-01T00:00:10Z", 130, 12.5)
    after = meter.read()
    assert after.cores == {NODE: 4}
    assert compute_cores(before, after) == pytest.approx({"trainer": 0.5})
    assert compute_machine_share(before, after) == pytest.approx(0.75)


def test_without_the_right_to_ask_kubelets_nothing_is_known(api: KubeApi, cluster: Cluster) -> None:
    api.add_pod("trainer", 0)
    api.refusals["proxy"] = 403
    found = PodMeter(cluster, NAMESPACE, RELEASE).read()
    assert (found.cpu_s, found.machine_s) == ({}, {})
    assert compute_machine_share(found, found) is None


def test_a_ledger_is_read_through_the_api(api: KubeApi, cluster: Cluster) -> None:
    """Several connections one after the other, to the pod that is ready."""
    stores = ServedChain()
    stores.grow(3)
    server = LedgerServer(stores.genesis, stores.blocks, stores.states, stores.models)
    host, _, port = server.start("127.0.0.1:0").rpartition(":")
    api.add_pod("ledger", 0, ready=False)
    api.add_pod("ledger", 1)
    api.ports[f"{RELEASE}-ledger-1", 7000] = (host, int(port))
    try:
        with PodForward(cluster, NAMESPACE, RELEASE, "ledger", 7000) as way:
            for _ in range(2):
                client = LedgerClient((way.address,))
                heights = [block.height for block in client.list_blocks(1)]
                model = client.get_model(stores.genesis.initial_model)
                client.close()
                assert heights == [1, 2, 3]
                assert model is not None
                assert np.array_equal(model, stores.chain.models[0])
    finally:
        server.stop(0)


def test_a_way_to_a_pod_needs_one_that_is_ready(api: KubeApi, cluster: Cluster) -> None:
    api.add_pod("ledger", 0, ready=False)
    with pytest.raises(TransientError, match="No ledger of release lab is ready"):
        PodForward(cluster, NAMESPACE, RELEASE, "ledger", 7000).__enter__()
