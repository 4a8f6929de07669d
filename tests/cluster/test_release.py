"""One release through its life on a real cluster; each test leaves it training for the next.

What a step costs is printed (``make e2e-cluster`` shows it), not asserted: a busy machine is not a failing test.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.cluster.cluster import Cluster
from tests.support.cluster.counting import PEERS, Counting
from tests.support.cluster.release import MOVING_BLOCKS, PATIENCE_S, Release

NAMESPACE = "flobc-life"
FEW, MANY = 3, 7
PERIOD_S = 5
"""A round that waits for somebody who is gone ends by then."""
EPOCHS = 8
"""More work in an update, so that the chain, which is verified after each step, grows slowly."""
VALUES = {
    "scaling": "external",
    "trainers": {"initialReplicas": FEW},
    "chain": {"options": ["--period", str(PERIOD_S), "--epochs", str(EPOCHS)]},
    **PEERS,
}

VALIDATORS = 4
ROLES = ("trainer", "validator", "ledger", "explorer", "redis", "kafka")
DRAIN = ("drain", "--ignore-daemonsets", "--delete-emptydir-data", "--force", "--timeout=40s")


@pytest.fixture(scope="module")
def release(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Release]:
    life = Release(cluster, NAMESPACE, "life")
    start_s = time.monotonic()
    life.install(tmp_path_factory.mktemp("life"), VALUES)
    report("helm install returned", time.monotonic() - start_s)
    life.wait_until("the first block", lambda: life.read_height() >= 1)
    report("from helm install to the first block", time.monotonic() - start_s)
    yield life
    cluster.kubectl("delete", "namespace", NAMESPACE, "--ignore-not-found", timeout_s=PATIENCE_S)


@pytest.fixture(scope="module")
def counting(release: Release, tmp_path_factory: pytest.TempPathFactory) -> Counting:
    """It counts from the first block on, through everything that is done to the release."""
    return Counting(release, tmp_path_factory.mktemp("census"))


def report(what: str, took_s: float) -> None:
    print(f"\n  {what}: {took_s:.1f} s", end="", flush=True)


def check(release: Release, above: int) -> int:
    """The chain goes on, holds from its genesis to its head, and did not go back; returns its height."""
    release.wait_for_blocks()
    verified = release.verify()
    assert verified["height"] > above
    return int(verified["height"])


def test_an_install_with_no_other_step_trains(release: Release, counting: Counting) -> None:
    release.wait_for_pods("validator", VALIDATORS)
    release.wait_for_pods("trainer", FEW)
    check(release, 0)
    assert release.get_replicas("trainer") == FEW
    counting.check("updates after the install")


def test_helm_test_passes(release: Release) -> None:
    start_s = time.monotonic()
    said = release.test()
    report("helm test", time.monotonic() - start_s)
    assert said.count("Succeeded") >= 2, said
    assert "Redis answers" in said, said


def test_trainers_scale_through_the_api_and_each_new_one_joins(release: Release) -> None:
    height = check(release, 0)
    start_s = time.monotonic()
    release.scale_trainers(MANY)
    release.wait_for_pods("trainer", MANY)
    report(f"{FEW} to {MANY} trainers, pods ready", time.monotonic() - start_s)

    def is_everybody_in() -> bool:
        newest = release.read_height()
        return newest > 0 and len(release.list_trainers(newest)) == MANY

    release.wait_until(f"a block with updates of {MANY} trainers", is_everybody_in)
    report(f"{FEW} to {MANY} trainers, all in one block", time.monotonic() - start_s)
    height = check(release, height)
    start_s = time.monotonic()
    release.scale_trainers(FEW)
    release.wait_for_pods("trainer", FEW)
    release.wait_for_blocks()
    report(f"{MANY} to {FEW} trainers, {MOVING_BLOCKS} more blocks", time.monotonic() - start_s)
    check(release, height)


@pytest.mark.parametrize("role", ROLES)
def test_a_killed_pod_comes_back_and_the_chain_goes_on(release: Release, role: str) -> None:
    height = release.read_height()
    before = release.list_ready(role)
    pod = sorted(before)[-1]
    release.kill(pod)
    start_s = time.monotonic()

    def is_replaced() -> bool:
        ready = release.list_ready(role)
        return len(ready) == len(before) and before[pod] not in ready.values()

    release.wait_until(f"another {pod}", is_replaced)
    report(f"{role} killed, its successor ready", time.monotonic() - start_s)
    release.wait_for_blocks()
    report(f"{role} killed, {MOVING_BLOCKS} blocks after that", time.monotonic() - start_s)
    check(release, height)


def test_a_drain_takes_one_validator_and_no_more_and_the_chain_goes_on(release: Release) -> None:
    nodes = [node["metadata"]["name"] for node in release.cluster.read("nodes")["items"]]
    if len(nodes) > 1:
        pytest.skip("with several nodes a drained validator comes back elsewhere at once")
    (node,) = nodes
    height = release.read_height()
    selector = f"--pod-selector=app.kubernetes.io/instance={release.release},app.kubernetes.io/component=validator"
    try:
        with pytest.raises(RuntimeError, match="disruption budget"):
            release.cluster.kubectl(*DRAIN, selector, node)
        assert len(release.list_ready("validator")) == VALIDATORS - 1
        report("a validator drained, 3 more blocks", release.wait_for_blocks())
    finally:
        release.cluster.kubectl("uncordon", node)
    report("uncordoned, all validators ready", release.wait_for_pods("validator", VALIDATORS))
    check(release, height)


def test_a_node_that_loses_all_its_pods_at_once_is_no_loss(release: Release) -> None:
    height = release.read_height()
    pods = [pod["metadata"]["name"] for pod in release.list_objects("pods")]
    start_s = time.monotonic()
    release.kubectl("delete", "pods", *pods, "--grace-period=0", "--force", "--wait=false")
    release.wait_until("more blocks", lambda: release.read_height() >= height + MOVING_BLOCKS)
    report(f"every pod killed, {MOVING_BLOCKS} more blocks", time.monotonic() - start_s)
    check(release, height)


def test_no_update_was_lost_or_decided_twice(release: Release, counting: Counting) -> None:
    """ROUND-12, through scaling, killing and draining: each whole update of the topic is decided in one block, or its
    trainer had a newer one used (ROUND-3), or it came too late (SYNC-11), or may still be decided."""
    found = counting.check("updates after scaling, killing and draining")
    assert found["decided"] >= found["height"]


def test_an_upgrade_and_a_rollback_leave_the_scale_and_the_chain_alone(release: Release, tmp_path: Path) -> None:
    height = check(release, 0)
    chain = release.verify()["chain"]
    release.scale_trainers(FEW + 1)
    release.wait_for_pods("trainer", FEW + 1)
    before = release.list_ready("validator")
    steps = (
        ("upgrade", lambda: release.upgrade(tmp_path, {**VALUES, "logLevel": "DEBUG"})),
        ("rollback", lambda: release.rollback(1)),
    )
    for name, step in steps:
        start_s = time.monotonic()
        step()
        release.kubectl("rollout", "status", f"statefulset/{release.name}-validator", "--timeout=10m", timeout_s=660)
        report(f"{name}, every validator replaced", time.monotonic() - start_s)
        after = release.list_ready("validator")
        assert set(after.values()).isdisjoint(before.values())
        before = after
        assert release.get_replicas("trainer") == FEW + 1
        height = check(release, height)
    assert release.verify()["chain"] == chain
    release.scale_trainers(FEW)


def test_an_uninstall_leaves_only_what_is_marked_to_be_kept(release: Release) -> None:
    check(release, 0)
    said = release.uninstall()
    kinds = ("deployments", "statefulsets", "services", "jobs", "serviceaccounts", "roles", "rolebindings")
    kinds += ("networkpolicies", "poddisruptionbudgets", "pods")
    tests = {f"{release.name}-test-chain", f"{release.name}-test-servers"}  # a hook's pods are not the release's own

    def is_gone() -> bool:
        return {thing["metadata"]["name"] for thing in release.list_objects(*kinds)} <= tests

    release.wait_until("nothing runs", is_gone)
    left = release.list_objects("configmaps", "secrets")
    assert left
    for thing in left:
        policy = thing["metadata"].get("annotations", {}).get("helm.sh/resource-policy")
        assert policy == "keep", thing["metadata"]["name"]
    print(
        f"\n  uninstall says: {said.strip()[:300]}; left: {sorted(thing['metadata']['name'] for thing in left)}", end=""
    )


def test_an_install_after_it_goes_on_with_the_same_chain(release: Release, tmp_path: Path) -> None:
    start_s = time.monotonic()
    release.install(tmp_path, VALUES)
    height = check(release, 0)
    report("installed again, more blocks", time.monotonic() - start_s)
    assert height > MOVING_BLOCKS
